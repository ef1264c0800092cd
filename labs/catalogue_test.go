package labs

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseNamesAllErrors(t *testing.T) {
	_, err := Parse("bad.yaml", []byte(`apiVersion: dsrlab.dev/v1alpha1
kind: Lab
metadata: {name: 99-bad, title: bad}
spec:
  question: none
  topology: talk
  seed: 1
  variants:
  - {name: a, dataPath: ipvs}
  - {name: a, dataPath: none, mode: dsr}
  phases:
  - name: p
    narration: x
    variants: [b]
    steps: []
  - name: q
    narration: x
    sweep: {pods: [1], burst: [1600b], queue: [1600b]}
    steps:
    - {variants: [z]}
    - connect: {from: client, to: {service: s, port: p}, protocol: sctp, count: 1}
      transfer: {from: client, to: {service: s, port: p}, direction: down, time: 1s}
    - connect: {from: client, to: {service: s, port: p}, protocol: udp, count: 1, spread: true}
    - infer: {from: client, to: {service: s, port: p}, shape: audio, scale: -1, rate: 2, workers: 1}
    - transfer: {from: client, to: {service: s, port: p}, direction: upload, streams: 1, streamsPerPod: 8, time: 1s}
  exercises:
  - {id: x, task: t, hint: h, solve: s, answer: {text: "(", measured: {variant: z, metric: m}}}
  - {id: x, task: t, hint: h, answer: {text: "yes"}}
  expectations:
  - {id: e, text: t, claims: [], variant: c, metric: m}
  - {id: f, text: t, claims: [], variant: a, metric: m, over: a, slope: pods, substrate: docker, atLeast: 1}
`))
	require.Error(t, err)
	for _, want := range []string{
		`spec.variants[0]: dataPath: unknown data path "ipvs" (want one of [none kube-proxy dnat-only dsrlab])`,
		`spec.variants[1].name: found "a" (want a unique name)`,
		`spec.variants[1]: mode, hook, fault: only dataPath dsrlab has them`,
		`spec.phases[0].variants[0]: unknown variant "b" (want one of the lab's)`,
		`spec.phases[0].steps: missing (want at least one)`,
		`spec.phases[1].sweep: want queue or burst, not both: a shaped link has a queue, a policed one has none`,
		`spec.phases[1].sweep: want node with queue or burst, and only with them`,
		`spec.phases[1].steps[0].variants[0]: unknown variant "z" (want one of the lab's)`,
		`spec.phases[1].steps[0].kind: missing (want one of connect, transfer,`,
		`spec.phases[1].steps[1].kind: found both connect and transfer (want one)`,
		`spec.phases[1].steps[2].connect.spread: found it with udp (want tcp, which reports the pod that answered)`,
		`spec.phases[1].steps[3].infer.rate, workers, workersPerPod: want exactly one of them`,
		`spec.phases[1].steps[3].infer.count, time: want one of them or both`,
		`spec.phases[1].steps[3].infer.scale: found -1 (want 0 or more)`,
		`spec.phases[1].steps[3].infer.shape: unknown shape "audio" (want one of ["llm" "image" "embeddings" "video"])`,
		`spec.phases[1].steps[4].transfer.streams, streamsPerPod: want one of them at most`,
		"spec.exercises[0].answer: want exactly one of measured, text, run",
		`spec.exercises[0].answer.measured.variant: unknown variant "z" (want one of the lab's)`,
		"spec.exercises[0].answer.text: error parsing regexp",
		`spec.exercises[1].solve: missing`,
		`spec.exercises[1].id: found "x" (want a unique id)`,
		`spec.expectations[0]: found variant "c", over "" (want variants of the lab)`,
		`spec.expectations[0]: want atLeast, atMost or both`,
		`spec.expectations[1]: over: not together with slope or overLabels`,
		`spec.expectations[1].substrate: found "docker" (want netns or kind)`,
	} {
		assert.ErrorContains(t, err, want)
	}
	_, err = Parse("bad.yaml", []byte("apiVersion: dsrlab.dev/v1alpha1\nkind: Lab\nspec:\n  questoin: which\n"))
	assert.ErrorContains(t, err, "bad.yaml:4")
}

func TestCatalogue(t *testing.T) {
	names, err := Catalogue()
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		lab, err := Lookup(name)
		require.NoError(t, err)
		assert.Equal(t, name, lab.Metadata.Name, "the folder's name")
		_, err = planOf(lab, "")
		require.NoError(t, err)
	}
}

package labs

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/results"
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
		`spec.variants[0]: dataPath: unknown data path "ipvs" (want one of none, kube-proxy, dnat-only, dsrlab)`,
		`spec.variants[1].name: found "a" (want a unique name)`,
		`spec.variants[1]: mode, hook, fault: only dataPath dsrlab has them`,
		`bad.yaml:14:16: spec.phases[0].variants[0]: unknown variant "b": want one of a, a`,
		`spec.phases[0].steps: missing (want at least one)`,
		`spec.phases[1].sweep: want queue or burst, not both: a shaped link has a queue, a policed one has none`,
		`spec.phases[1].sweep: want node with queue or burst, and only with them`,
		`spec.phases[1].steps[0].variants[0]: unknown variant "z": want one of a, a`,
		`spec.phases[1].steps[0].kind: missing (want one of connect, transfer,`,
		`spec.phases[1].steps[1].kind: found both connect and transfer (want one)`,
		`spec.phases[1].steps[2].connect.spread: found it with udp (want tcp, which reports the pod that answered)`,
		`spec.phases[1].steps[3].infer.rate, workers, workersPerPod: want exactly one of them`,
		`spec.phases[1].steps[3].infer.count, time: want one of them or both`,
		`spec.phases[1].steps[3].infer.scale: found -1 (want 0 or more)`,
		`spec.phases[1].steps[3].infer.shape: unknown shape "audio" (want one of llm, image, embeddings, video)`,
		`spec.phases[1].steps[4].transfer.streams, streamsPerPod: want one of them at most`,
		"spec.exercises[0].answer: want exactly one of measured, text, run",
		`spec.exercises[0].answer.measured.variant: unknown variant "z": want one of a, a`,
		"spec.exercises[0].answer.text: error parsing regexp",
		`spec.exercises[1].solve: missing`,
		`spec.exercises[1].id: found "x" (want a unique id)`,
		`spec.expectations[0].variant: unknown variant "c": want one of a, a`,
		`spec.expectations[0]: want atLeast, atMost or both`,
		`spec.expectations[1].over: not together with slope or overLabels`,
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

// Names that a lab has wrong are found before anything is built, with the place and what was probably meant.
func TestParseFindsTypos(t *testing.T) {
	source, err := catalogue.ReadFile("01-source-ip/lab.yaml")
	require.NoError(t, err)
	_, err = Parse("lab.yaml", source)
	require.NoError(t, err)
	for name, test := range map[string]struct{ from, to, want string }{
		"topology":        {"topology: source-ip", "topology: source-pi", `lab.yaml:LINE:13: spec.topology: unknown topology "source-pi": did you mean "source-ip"?`},
		"capture":         {"capture: [client, node-a", "capture: [client, nodea", `lab.yaml:LINE:23: spec.phases[0].capture[1]: unknown node "nodea": did you mean "node-a"?`},
		"from":            {"from: client", "from: cleint", `lab.yaml:LINE:23: spec.phases[0].steps[0].connect.from: unknown node or pod "cleint": did you mean "client"?`},
		"service":         {"service: tcp-echo", "service: tcp-ehco", `spec.phases[0].steps[0].connect.to.service: unknown service "tcp-ehco": did you mean "tcp-echo"?`},
		"port":            {"port: tcp", "port: tpc", `spec.phases[0].steps[0].connect.to.port: unknown port of tcp-echo "tpc": did you mean "tcp"?`},
		"no port":         {", port: tcp", "", `spec.phases[0].steps[0].connect.to.port: missing: want one of`},
		"metric":          {"metric: source_preserved", "metric: source_preservd", `lab.yaml:LINE:13: spec.expectations[0].metric: variant kube-proxy does not measure "source_preservd": did you mean "source_preserved"?`},
		"label's value":   {"labels: {protocol: tcp}", "labels: {protocol: tpc}", `lab.yaml:LINE:13: spec.expectations[0].labels: variant kube-proxy does not measure source_preserved (protocol=tpc) (want protocol=tcp, or protocol=udp)`},
		"label's key":     {"labels: {protocol: tcp}", "labels: {proto: tcp}", `spec.expectations[0].labels: variant kube-proxy does not measure source_preserved (proto=tcp) (want protocol=tcp, or protocol=udp)`},
		"no labels":       {"    labels: {protocol: tcp}\n", "", `spec.expectations[0].labels: variant kube-proxy does not measure source_preserved without labels (want`},
		"variant":         {"variant: kube-proxy", "variant: kubeproxy", `lab.yaml:LINE:14: spec.expectations[0].variant: unknown variant "kubeproxy": did you mean "kube-proxy"?`},
		"claim":           {"claims: [SNAT-1]", "claims: [SNAT-l]", `spec.expectations[0].claims[0]: unknown claim "SNAT-l": did you mean`},
		"field and names": {"question:", "qestion: x\n  topologyy: x\n  question:", `spec.topologyy: unknown field: did you mean "topology"?`},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(string(source), test.from, test.to, 1)
			require.NotEqual(t, string(source), changed)
			before, _, _ := strings.Cut(changed, test.to)
			_, err := Parse("lab.yaml", []byte(changed))
			assert.ErrorContains(t, err, strings.Replace(test.want, "LINE", strconv.Itoa(1+strings.Count(before, "\n")), 1))
		})
	}
}

// What steps say that they measure is what they record: every sample of each lab's latest reference run is among it.
func TestMeasurementsAreRecorded(t *testing.T) {
	entries, err := results.Store{Reference: results.Reference()}.List()
	require.NoError(t, err)
	latest := make(map[string]bool) // of earlier ones the labs may have been others
	for _, e := range entries {
		require.NoError(t, e.Err)
		if latest[e.Run.Manifest.Lab] {
			continue
		}
		latest[e.Run.Manifest.Lab] = true
		lab, err := Lookup(e.Run.Manifest.Lab)
		require.NoError(t, err)
		n, err := lab.names()
		require.NoError(t, err)
		measured := lab.measured(n)
		for _, s := range e.Run.Samples {
			if !slices.ContainsFunc(measured[s.Variant], func(m steps.Measurement) bool { return m.Metric == s.Metric && m.Has(s.Labels, "") }) {
				t.Errorf("%s: %s records %s (%s), which no step says that it measures", e.Name, s.Variant, s.Metric, results.FormatLabels(s.Labels))
				break
			}
		}
	}
}

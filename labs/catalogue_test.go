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
  expectations:
  - {id: e, text: t, claims: [], variant: c, metric: m}
`))
	require.Error(t, err)
	for _, want := range []string{
		`spec.variants[0]: dataPath: "ipvs" is none of [none kube-proxy dnat-only dsrlab]`,
		`spec.variants[1].name: "a" must be a name of its own`,
		`spec.variants[1]: mode, hook: only dataPath dsrlab has them`,
		`spec.phases[0].variants[0]: "b" is none of the lab's`,
		`spec.phases[0].steps: there must be one`,
		`spec.expectations[0]: variant "c" or over "" is none of the lab's`,
		`spec.expectations[0]: want atLeast, atMost or both`,
	} {
		assert.ErrorContains(t, err, want)
	}
	_, err = Parse("bad.yaml", []byte("apiVersion: dsrlab.dev/v1alpha1\nkind: Lab\nspec:\n  questoin: which\n"))
	assert.ErrorContains(t, err, "bad.yaml:4")
}

func TestCatalogue(t *testing.T) {
	names, err := Catalogue()
	require.NoError(t, err)
	require.Equal(t, []string{"01-source-ip", "02-throughput"}, names)
	for _, name := range names {
		lab, err := Lookup(name)
		require.NoError(t, err)
		assert.Equal(t, name, lab.Metadata.Name, "the folder's name")
		_, err = planOf(lab)
		require.NoError(t, err)
	}
}

package explain

import (
	_ "embed"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/dataplane"
)

// Every reason that the object knows is explained, in whole sentences.
func TestEveryReasonIsExplained(t *testing.T) {
	all, err := Reasons()
	require.NoError(t, err)
	names, err := dataplane.LoadNames()
	require.NoError(t, err)
	want := names.Reasons()
	require.Len(t, all, len(want))
	for i, r := range all {
		assert.Equal(t, names.Reason(want[i]), r.Name)
		assert.Equal(t, dataplane.Verdict(want[i]), r.Verdict, r.Name)
		for _, text := range []string{r.Meaning, r.Cause} {
			assert.True(t, strings.HasSuffix(text, "."), "%s: %q", r.Name, text)
			assert.Equal(t, strings.ToUpper(text[:1]), text[:1], r.Name)
		}
		if r.Verdict == "dropped" {
			assert.NotEmpty(t, r.Remedy, r.Name)
		}
		assert.Equal(t, r.Name, Canonical("REASON_DROP_"+strings.ToUpper(strings.ReplaceAll(r.Name, "-", "_"))))
	}
}

//go:embed testdata/seen.yaml
var seenYAML []byte

// A lab that is named for a reason provokes it, and more than by accident; a reason that a lab provokes names one.
func TestLabsProvokeTheirReasons(t *testing.T) {
	const surely = 10                       // packets in a run
	seen := make(map[string]map[string]int) // by lab and reason
	require.NoError(t, yaml.UnmarshalStrict(seenYAML, &seen))
	all, err := Reasons()
	require.NoError(t, err)
	for _, r := range all {
		if r.Lab != "" {
			assert.GreaterOrEqual(t, seen[r.Lab][r.Name], surely, "%s in %s", r.Name, r.Lab)
			continue
		}
		for lab, reasons := range seen {
			assert.Less(t, reasons[r.Name], surely, "%s in %s, but no lab is named", r.Name, lab)
		}
	}
}

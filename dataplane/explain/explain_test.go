package explain

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane"
)

// Every reason that the object knows is explained, in whole sentences, and with a lab that there is.
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
		_, err := os.Stat("../../labs/" + r.Lab + "/lab.yaml")
		assert.NoError(t, err, r.Name)
		assert.Equal(t, r.Name, Canonical("REASON_DROP_"+strings.ToUpper(strings.ReplaceAll(r.Name, "-", "_"))))
	}
}

package labs

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// TestHeadlinesFit: what the labs' headlines make of the reference runs stays within 58 columns, which is what 80 leave them.
func TestHeadlinesFit(t *testing.T) {
	names, err := Catalogue()
	require.NoError(t, err)
	for _, name := range names {
		lab, err := Lookup(name)
		require.NoError(t, err)
		run, err := results.Store{Reference: results.Reference()}.FindOn(name, string(topologies.SubstrateNetns))
		require.NoError(t, err)
		summary := results.Summarize(run)
		for _, e := range lab.expectations().On(topologies.SubstrateNetns) {
			headline := lab.expectations().Headline(&e, summary, run.Ratio)
			t.Logf("%s %s %s: %s", name, e.Claims, e.ID, headline)
			assert.LessOrEqual(t, terminal.Width(headline), 58, "%s, %s: %s", name, e.ID, headline)
		}
	}
}

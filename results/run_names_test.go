package results_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
)

// TestReadOldNames: a run that was recorded when a metric had another name is read as if it had been recorded today.
func TestReadOldNames(t *testing.T) {
	run, err := results.Store{Reference: results.Reference()}.Find("20261128T091922Z-02-throughput-9wq2m")
	require.NoError(t, err)
	assert.Contains(t, run.Metrics(), "payload_rate")
	assert.NotContains(t, run.Metrics(), "goodput")
	for _, e := range run.Manifest.Expectations {
		assert.NotEqual(t, "goodput", e.Metric, e.ID)
	}
	var s results.Series
	require.NoError(t, s.UnmarshalJSON([]byte(`{"variant":"dsr","repetition":0,"metric":"goodput_together","unit":"bit/s","valid":true}`)))
	assert.Equal(t, "payload_rate_together", s.Metric)
}

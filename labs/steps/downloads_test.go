package steps

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload/download"
	"github.com/dsrlab/dsrlab/results"
)

func TestDownloadsValidate(t *testing.T) {
	s := &DownloadsStep{Events: []Event{{After: 2, Fail: "lb-1", Join: "lb-1"}, {After: 1, Join: "lb-2", Detection: 1}, {After: 3}}}
	var texts []string
	for _, err := range s.validate() {
		texts = append(texts, err.Error())
	}
	assert.Equal(t, []string{
		"count: found less than 1 (want 1 or more)",
		"rate, length: must be given",
		"events[0]: want exactly one of fail, join, drain, return",
		"events[1].after: want them in the order of their times",
		"events[1].detection: only fail has one",
		"events[2]: want exactly one of fail, join, drain, return",
	}, texts)
}

// TestSurvivors: a download is lost when it got its last byte, not when it was given up, and not at all if it completes.
func TestSurvivors(t *testing.T) {
	const second = time.Second
	s := survivors([]download.Download{
		{End: download.Completed, Ended: 3 * second},
		{End: download.Completed, Ended: 6 * second},
		{End: download.Reset, Ended: 4 * second},
		{End: download.Stalled, Ended: 5 * second, LongestGapBegan: 3 * second},
		{End: download.Stalled, Ended: 4 * second, LongestGapBegan: second}, // it got nothing already when the node died
	}, 2*second)
	require.Len(t, s.Values, results.MaxPoints)
	assert.Equal(t, results.Levels, s.Kind)
	at := func(after float64) (value float64) {
		for i, moment := range s.At {
			if moment <= after {
				value = s.Values[i]
			}
		}
		return value
	}
	assert.InDelta(t, 4, s.At[len(s.At)-1], 1e-9, "until the last one ended")
	for after, want := range map[float64]float64{0: 5, 0.9: 4, 1.1: 3, 1.9: 3, 2.1: 2, 4: 2} {
		assert.InDelta(t, want, at(after), 0, "%v s after the event", after)
	}
	one := survivors([]download.Download{{End: download.Completed, Ended: second + 1}}, second)
	assert.Equal(t, []float64{1}, one.Values, "one that ends at once")
}

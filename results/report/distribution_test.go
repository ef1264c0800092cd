package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
)

// TestPictureOfDistribution: of each variant the values of all repetitions that count, and which share of them is at most so large.
func TestPictureOfDistribution(t *testing.T) {
	times := func(variant string, repetition int, seconds ...float64) results.Series {
		return of(variant, repetition, map[string]string{"shape": "image"}, results.NewDistribution("completion", "s", seconds))
	}
	late := times("dsr", 2, 9, 9, 9, 9)
	late.Invalid = "the CPU was saturated"
	picture := Picture{Name: "p", Title: "Answered by then", Metrics: []string{"completion"}, Labels: []map[string]string{{"shape": "image"}}, Series: true}
	c, ok := picture.draw(seriesRun(t, "1", times("snat", 0, 0.4, 0.2, 0.3, 0.5), times("dsr", 0, 0.02, 0.01), times("dsr", 1, 0.04, 0.03), late))
	require.True(t, ok)
	assert.Equal(t, "Answered by then (%)", c.Title)
	assert.Equal(t, "Which share was done by then: all repetitions together, 4 values of each line.", c.Caption)
	table, err := tabled(c)
	require.NoError(t, err)
	assert.Equal(t, []string{"", "0 %", "25 %", "50 %", "75 %", "95 %", "100 %"}, table.Columns)
	assert.Equal(t, [][]string{{"snat", "200", "200", "300", "400", "500", "500"}, {"dsr", "10", "10", "20", "30", "40", "40"}}, table.Rows, "in ms")
	seriesGolden(t, "distribution.svg", wellFormed(t, c))
}

// TestPictureOfLevels: of each variant what was there at each moment, in the repetition that is the median in sum.
func TestPictureOfLevels(t *testing.T) {
	died := map[string]string{"event": "fail lb-2"}
	levels := func(variant string, repetition int, values ...float64) results.Series {
		return of(variant, repetition, died, results.NewLevels("surviving", "downloads", every(time.Second, len(values)), values))
	}
	picture := Picture{Name: "p", Title: "Downloads that go on", Metrics: []string{"surviving"}, Labels: []map[string]string{died}, Series: true}
	c, ok := picture.draw(seriesRun(t, "1",
		levels("kube-proxy", 0, 1000, 800, 750, 750), levels("dsr", 0, 1000, 1000, 999, 999), levels("dsr", 1, 1000, 1000, 1000, 1000), levels("dsr", 2, 1000, 900, 900, 900)))
	require.True(t, ok)
	assert.Equal(t, "Downloads that go on (downloads)", c.Title)
	assert.Equal(t, "How many there were at each moment; of each variant the repetition with the median in sum.", c.Caption)
	assert.Contains(t, c.describe(), "dsr: ", c.describe())
	table, err := tabled(c)
	require.NoError(t, err)
	require.Len(t, table.Rows, 2)
	assert.Equal(t, []string{"kube-proxy", "", "1,000", "1,000", "800", "750", "750"}, table.Rows[0], "nothing is said of what was before the first moment")
	assert.Equal(t, []string{"dsr", "", "1,000", "1,000", "1,000", "999", "999"}, table.Rows[1], "neither the best nor the worst repetition")
	seriesGolden(t, "levels.svg", wellFormed(t, c))
}

package report

import (
	"bytes"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

// seriesRun is a run with series that were made up.
func seriesRun(t *testing.T, scale string, series ...results.Series) *results.Run {
	t.Helper()
	recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
	for _, s := range series {
		require.NoError(t, recorder.AddSeries(s))
	}
	require.NoError(t, recorder.SetScale(scale, ""))
	_, err := recorder.Close(results.Untested, "it is made up")
	require.NoError(t, err)
	run, err := results.Open(recorder.Dir())
	require.NoError(t, err)
	return run
}

// every returns the ends of n intervals.
func every(interval time.Duration, n int) (at []time.Duration) {
	for i := range n {
		at = append(at, time.Duration(i+1)*interval)
	}
	return at
}

func of(variant string, repetition int, labels map[string]string, s results.Series) results.Series {
	s.Variant, s.Repetition, s.Labels = variant, repetition, labels
	return s
}

// transfers are two variants' downloads, one of them with three repetitions and with segments that were sent again.
func transfers() (all []results.Series) {
	at := every(100*time.Millisecond, 10)
	for repetition, share := range []float64{0.5, 1, 2} {
		bytes, again := make([]float64, 10), make([]float64, 10)
		for i := range bytes {
			bytes[i], again[i] = share*(1e6+1e5*float64(i)), 10*float64(repetition+1)
		}
		all = append(all, of("snat", repetition, nil, results.NewAmounts("delivered", "B", at, bytes)),
			of("snat", repetition, nil, results.NewAmounts("retransmits", "segments", at, again)))
	}
	fast := make([]float64, 10)
	for i := range fast {
		fast[i] = 11.7e6
	}
	bad := of("snat", 3, nil, results.NewAmounts("delivered", "B", at, fast))
	bad.Invalid = "no CPU was free"
	return append(all, bad, of("dsr", 0, nil, results.NewAmounts("delivered", "B", at, fast)),
		of("dsr", 0, nil, results.NewAmounts("retransmits", "segments", at, make([]float64, 10))),
		of("dsr", 0, map[string]string{"limit": "police"}, results.NewAmounts("delivered", "B", at, fast)))
}

func TestPictureOverTime(t *testing.T) {
	picture := Picture{Name: "p", Title: "Download", Metrics: []string{"delivered"}, Labels: []map[string]string{{}}, Series: true,
		Marks: []Mark{{At: 100e6, Text: "the port"}}}
	c, ok := picture.draw(seriesRun(t, "1/2", transfers()...))
	require.True(t, ok)
	assert.Equal(t, "Download (Mbit/s)", c.Title)
	assert.Equal(t, "snat: 0.08 s 80, 0.25 s 96, 0.42 s 112, 0.58 s 120, 0.75 s 136, 0.92 s 152; "+
		"dsr: 0.08 s 936, 0.25 s 936, 0.42 s 936, 0.58 s 936, 0.75 s 936, 0.92 s 936; "+
		"Segments sent again (segments/s): snat: 0.08 s 200, 0.25 s 200, 0.42 s 200, 0.58 s 200, 0.75 s 200, 0.92 s 200; "+
		"dsr: 0.08 s 0, 0.25 s 0, 0.42 s 0, 0.58 s 0, 0.75 s 0, 0.92 s 0; the port 50", c.describe(),
		"the second repetition of snat, with its own retransmissions; what does not count, or has other labels, is left out")
	assert.Equal(t, "What came in each interval, as a rate; of each variant the repetition of the median total.", c.Caption)
	seriesGolden(t, "over-time.svg", wellFormed(t, c))

	var picturePNG bytes.Buffer
	require.NoError(t, c.PNG(&picturePNG, Dark))
	table, err := tabled(c)
	require.NoError(t, err)
	assert.Equal(t, []string{"", "0.08 s", "0.25 s", "0.42 s", "0.58 s", "0.75 s", "0.92 s"}, table.Columns)
	assert.Equal(t, []string{"snat: Segments sent again (segments/s)", "200", "200", "200", "200", "200", "200"}, table.Rows[2])
}

// TestPictureOverTimeWithoutLoss has nothing below it: nothing was sent again, or nobody said so.
func TestPictureOverTimeWithoutLoss(t *testing.T) {
	at := every(time.Second, 1)
	c, ok := Picture{Name: "p", Title: "Download", Metrics: []string{"delivered"}, Series: true}.draw(seriesRun(t, "1",
		of("dsr", 0, nil, results.NewAmounts("delivered", "B", at, []float64{0})), of("dsr", 0, nil, results.NewAmounts("retransmits", "segments", at, []float64{0})),
		of("snat", 0, nil, results.NewAmounts("delivered", "B", at, []float64{0})),
	))
	require.True(t, ok)
	assert.Nil(t, c.below)
	assert.Equal(t, "What came in each interval, as a rate.", c.Caption)
	wellFormed(t, c)
}

// TestRunWithoutSeries: the report of a run that was recorded before there were series is what it would be without the picture.
func TestRunWithoutSeries(t *testing.T) {
	run := measuredRun(t, "1", rate("snat", 1e6, nil), rate("dsr", 2e6, nil))
	bars := Picture{Name: "rate", Title: "Rate", Metrics: []string{"payload_rate"}}
	series := Picture{Name: "p", Title: "Download", Metrics: []string{"delivered"}, Series: true}
	_, ok := series.draw(run)
	assert.False(t, ok)
	var with, without bytes.Buffer
	require.NoError(t, HTML(&with, run, Story{Pictures: []Picture{bars, series}}))
	require.NoError(t, HTML(&without, run, Story{Pictures: []Picture{bars}}))
	assert.Equal(t, without.String(), with.String())
}

// TestReportOverTime: the picture is in the page as in Markdown, in the page's colours, and the same folder gives the same page.
func TestReportOverTime(t *testing.T) {
	run := seriesRun(t, "1", transfers()...)
	story := Story{Pictures: []Picture{{Name: "p", Title: "Download", Metrics: []string{"delivered"}, Labels: []map[string]string{{}}, Series: true}}}
	var first, second, text bytes.Buffer
	require.NoError(t, HTML(&first, run, story))
	require.NoError(t, HTML(&second, run, story))
	assert.Equal(t, first.String(), second.String())
	assert.Contains(t, first.String(), ">Segments sent again (segments/s)</text>")
	assert.Contains(t, first.String(), "var(--v3)", "the colour of dsr")
	require.NoError(t, Markdown(&text, run, story))
	assert.Contains(t, text.String(), "| snat | 80 | 96 | 112 | 120 | 136 | 152 |")
}

// seriesGolden holds a picture against the one in testdata. The tests of the package's outside have the flag -update.
func seriesGolden(t *testing.T, name, got string) {
	t.Helper()
	require.NoError(t, xml.Unmarshal([]byte(got), &struct{}{}))
	path := filepath.Join("testdata", name)
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the tests with -update to make it")
	require.Equal(t, string(want), got, "run the tests with -update if the change is meant")
}

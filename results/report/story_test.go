package report

import (
	"bytes"
	"encoding/xml"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

func measuredRun(t *testing.T, scale string, samples ...results.Sample) *results.Run {
	t.Helper()
	recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
	for _, s := range samples {
		require.NoError(t, recorder.AddSample(s))
	}
	require.NoError(t, recorder.SetScale(scale, ""))
	_, err := recorder.Close(results.Passed, "")
	require.NoError(t, err)
	run, err := results.Open(recorder.Dir())
	require.NoError(t, err)
	return run
}

func rate(variant string, value float64, labels map[string]string) results.Sample {
	return results.Sample{Variant: variant, Metric: "payload_rate", Unit: "bit/s", Value: value, Labels: labels}
}

func wellFormed(t *testing.T, c Chart) string {
	t.Helper()
	var svg bytes.Buffer
	require.NoError(t, c.SVG(&svg, Auto))
	require.NoError(t, xml.Unmarshal(svg.Bytes(), &struct{}{}))
	assert.NotContains(t, svg.String(), "NaN")
	assert.NotContains(t, svg.String(), "Inf")
	assert.Contains(t, svg.String(), "@media (prefers-color-scheme: dark)")
	return svg.String()
}

func TestPictureOfBars(t *testing.T) {
	policed := map[string]string{"limit": "police"}
	run := measuredRun(t, "1/2", rate("snat", 45e6, nil), rate("snat", 2e6, policed), rate("dsr", 470e6, nil), rate("none", 471e6, map[string]string{"limit": "x"}))
	c, ok := Picture{
		Name: "p", Title: "Download", Metrics: []string{"payload_rate"}, Variants: []string{"dsr", "snat", "none"},
		Labels: []map[string]string{{}, policed}, Names: []string{"queues", "drops"}, Marks: []Mark{{At: 936e6, Text: "slide 24"}},
	}.draw(run)
	require.True(t, ok)
	assert.Equal(t, "Download (Mbit/s)", c.Title)
	assert.Equal(t, "dsr, queues 470; snat, queues 45; snat, drops 2; slide 24 468", c.describe(), "rates of marks follow the scale of the run")
	assert.Contains(t, wellFormed(t, c), ">slide 24</text>")
	_, ok = Picture{Name: "p", Title: "Nothing", Metrics: []string{"nothing"}}.draw(run)
	assert.False(t, ok)
}

func TestPictureOverLabel(t *testing.T) {
	var samples []results.Sample
	for burst, value := range map[string]float64{"3100b": 0.4e6, "64kb": 8e6, "1mb": 44e6} {
		samples = append(samples, rate("snat", value, map[string]string{"burst": burst}))
	}
	samples = append(samples, rate("snat", 90e6, nil), rate("dsr", 940e6, map[string]string{"burst": "3100b"}))
	run := measuredRun(t, "1", samples...)
	picture := Picture{Name: "p", Title: "Bursts", Metrics: []string{"payload_rate"}, Labels: []map[string]string{{}}, Over: "burst", Log: true, Marks: []Mark{{At: 10.6e6, Text: "slide 23"}}}
	c, ok := picture.draw(run)
	require.True(t, ok)
	assert.True(t, c.yLog)
	assert.Equal(t, "snat: 3100b 0.4, 64kb 8, 1mb 44; dsr: 3100b 940; slide 23 10.6", c.describe(), "without a default, what has no burst is left out")
	assert.Contains(t, wellFormed(t, c), ">0.1</text>", "the axis begins at a power of ten")

	picture.Default = "4mb"
	c, ok = picture.draw(run)
	require.True(t, ok)
	assert.Contains(t, c.describe(), "1mb 44, 4mb 90")

	zero := measuredRun(t, "1", append(samples, rate("none", 0, map[string]string{"burst": "64kb"}))...)
	c, ok = picture.draw(zero)
	require.True(t, ok)
	assert.False(t, c.yLog, "a logarithmic axis has no room for 0")
	wellFormed(t, c)
}

func TestPictureOfPercentiles(t *testing.T) {
	var samples []results.Sample
	for i, metric := range []string{"ttfb_p50", "ttfb_p95", "ttfb_p99"} {
		for j, variant := range []string{"snat", "dsr"} {
			samples = append(samples, results.Sample{Variant: variant, Metric: metric, Unit: "s", Value: float64(i+1) / 100 / float64(j+1)})
		}
	}
	c, ok := Picture{Name: "p", Title: "First byte", Metrics: []string{"ttfb_p50", "ttfb_p95", "ttfb_p99"}}.draw(measuredRun(t, "1", samples...))
	require.True(t, ok)
	assert.Equal(t, "snat 10, 20, 30; dsr 5, 10, 15", c.describe())
	assert.Contains(t, c.Caption, "Marks, from the left: median, 95th percentile, 99th percentile")
	wellFormed(t, c)
}

// TestEvidence: what labs record as a sentence is shown in parts, with units.
func TestEvidence(t *testing.T) {
	run := reference(t, "02-throughput")
	rows := map[string]evidenceRow{}
	for _, e := range results.Summarize(run).Expectations {
		rows[e.ID] = evidenceOf(run, results.Summarize(run), e)
	}
	policed := rows["snat-policed"]
	assert.Equal(t, "payload rate, burst 3100b, limit police", policed.What)
	assert.Regexp(t, `^[0-9.]+ kbit/s$`, policed.Measured)
	assert.Regexp(t, `^[0-9.]+ × that without burst and limit$`, policed.Compared)
	assert.Regexp(t, `^[0-9.]+ × none \([0-9.]+ to [0-9.]+\)$`, rows["dsr-goodput"].Compared)
	assert.Regexp(t, `^[0-9.]+ %$`, rows["snat-retransmits"].Measured)
	assert.Equal(t, "–", rows["snat-deep"].Compared)

	failed := evidenceOf(run, results.Summarize(run), results.ExpectationOutcome{
		Expectation: results.Expectation{ID: "x", Text: "it is fast", Variant: "dsr", Metric: "payload_rate"}, Outcome: results.Broken,
		Evidence: "it is fast: payload_rate of dsr is 0.5 of that of none (95 % interval 0.4 to 0.6); expected at least 0.99",
	})
	assert.Equal(t, "0.5 × none (0.4 to 0.6)", failed.Compared)
	assert.Equal(t, "expected at least 0.99", failed.Why)
}

// TestAnswer: a lab's answer is for runs that passed; of others the report says what was found instead.
func TestAnswer(t *testing.T) {
	story := Story{Answer: "DSR is fast."}
	for name, test := range map[string]struct {
		options resultstest.Options
		want    string
	}{
		"passed":   {resultstest.Options{}, "DSR is fast."},
		"failed":   {resultstest.Options{Break: "dsr-full"}, "Not as expected: made up by a test: dsr-full did not hold <&>"},
		"untested": {resultstest.Options{Skip: "dsr-full"}, "Not answered: the run is untested."},
	} {
		run, err := results.Open(resultstest.Run(t, t.TempDir(), test.options))
		require.NoError(t, err)
		assert.Equal(t, test.want, story.answer(run, results.Summarize(run)), name)
	}
}

package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"flag"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/report"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func fabricate(t *testing.T, o resultstest.Options) *results.Run {
	t.Helper()
	run, err := results.Open(resultstest.Run(t, t.TempDir(), o))
	require.NoError(t, err)
	return run
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the tests with -update to make it")
	require.Equal(t, string(want), string(got), "run the tests with -update if the change is meant")
}

// told is a story of the fabricated runs.
func told() report.Story {
	return report.Story{
		Title: "A lab made up by a test", Question: "How fast is it?", Answer: "As fast as 938.8 Mbit/s.",
		Pictures: []report.Picture{
			{Name: "rate", Title: "Download", Metrics: []string{"payload_rate"}, Labels: []map[string]string{{}}, Marks: []report.Mark{{At: 936e6, Text: "slide 24"}}},
			{Name: "queue", Title: "Download by queue", Metrics: []string{"payload_rate"}, Labels: []map[string]string{{}}, Over: "queue", Default: "1mb", Log: true},
		},
	}
}

func TestGolden(t *testing.T) {
	passed := fabricate(t, resultstest.Options{Seed: 1})
	failed := fabricate(t, resultstest.Options{Seed: 1, Break: "dsr-full", Skip: "snat-collapses", AllInvalid: true, LeaveOpen: true})
	chart := func(name string, theme report.Theme) func(io.Writer, *results.Run) error {
		return func(w io.Writer, run *results.Run) error {
			for _, c := range report.Charts(run) {
				if c.Name == name {
					return c.SVG(w, theme)
				}
			}
			t.Fatalf("no chart %s", name)
			return nil
		}
	}
	html := func(w io.Writer, run *results.Run) error { return report.HTML(w, run, told()) }
	markdown := func(w io.Writer, run *results.Run) error { return report.Markdown(w, run, told()) }
	junit := func(w io.Writer, run *results.Run) error { return report.JUnit(w, run) }
	for name, test := range map[string]struct {
		run    *results.Run
		render func(io.Writer, *results.Run) error
	}{
		"passed.md":                 {passed, markdown},
		"passed.html":               {passed, html},
		"passed.csv":                {passed, report.CSV},
		"passed.xml":                {passed, junit},
		"failed.md":                 {failed, markdown},
		"failed.html":               {failed, html},
		"failed.xml":                {failed, junit},
		"payload_rate.svg":          {passed, chart("payload_rate", report.Light)},
		"payload_rate-by-queue.svg": {passed, chart("payload_rate-by-queue", report.Dark)},
		"payload_rate-no-dsr.svg":   {failed, chart("payload_rate", report.Light)},
	} {
		t.Run(name, func(t *testing.T) {
			var first, second bytes.Buffer
			require.NoError(t, test.render(&first, test.run))
			require.NoError(t, test.render(&second, test.run))
			require.Equal(t, first.String(), second.String(), "the same folder gives the same report")
			golden(t, name, first.Bytes())
		})
	}
}

func TestCharts(t *testing.T) {
	var names []string
	for _, c := range report.Charts(fabricate(t, resultstest.Options{})) {
		names = append(names, c.Name)
	}
	assert.Equal(t, []string{"payload_rate", "payload_rate-by-queue", "retransmits", "lb_port_bytes_reply", "source_preserved"}, names)
}

func TestChartNamesWhatItLacks(t *testing.T) {
	charts := report.Charts(fabricate(t, resultstest.Options{AllInvalid: true}))
	assert.Contains(t, charts[0].Caption, "Not drawn, without a valid sample: dsr.")
}

// TestChartOfOddValues draws what is rare: negative medians, one sample, zeros, names of another alphabet.
func TestChartOfOddValues(t *testing.T) {
	recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
	add := func(variant, metric string, value float64, labels map[string]string) {
		require.NoError(t, recorder.AddSample(results.Sample{Variant: variant, Metric: metric, Unit: "s", Value: value, Labels: labels}))
	}
	add("snat", "saved", -0.25, nil)
	add("dsr", "saved", 0.5, nil)
	add("snat", "größe", 0, nil)
	add("dsr", "größe", 1e-9, nil)
	for _, workers := range []string{"0", "1", "8"} {
		add("dsr", "none of it", 0, map[string]string{"workers": workers})
	}
	run, err := results.Open(recorder.Dir())
	require.NoError(t, err)
	charts := report.Charts(run)
	require.Len(t, charts, 3)
	for _, c := range charts {
		var svg, picture bytes.Buffer
		require.NoError(t, c.SVG(&svg, report.Light))
		require.NoError(t, c.PNG(&picture, report.Dark))
		assert.NotContains(t, svg.String(), "NaN", c.Name)
		assert.NotContains(t, svg.String(), "Inf", c.Name)
		require.NoError(t, xml.Unmarshal(svg.Bytes(), &struct{}{}), c.Name)
	}
}

func TestPNG(t *testing.T) {
	for _, c := range report.Charts(fabricate(t, resultstest.Options{})) {
		var light, dark bytes.Buffer
		require.NoError(t, c.PNG(&light, report.Light))
		require.NoError(t, c.PNG(&dark, report.Dark))
		for _, data := range [][]byte{light.Bytes(), dark.Bytes()} {
			picture, err := png.Decode(bytes.NewReader(data))
			require.NoError(t, err, c.Name)
			assert.Equal(t, 1280, picture.Bounds().Dx())
		}
		assert.NotEqual(t, light.Bytes(), dark.Bytes(), "themes differ")
	}
}

// TestSelfContained holds that the page asks for nothing else and that what was recorded cannot become markup.
func TestSelfContained(t *testing.T) {
	recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
	require.NoError(t, recorder.AddEvent(results.EventEvidence, `<script>alert(1)</script>|`, map[string]string{"x": "</script>"}))
	require.NoError(t, recorder.AddSample(results.Sample{Variant: "dsr", Metric: "<b>m", Unit: "s", Value: 1, Labels: map[string]string{"a": "<i>"}}))
	require.NoError(t, recorder.AddSample(results.Sample{Variant: "snat", Metric: "<b>m", Unit: "s", Value: 2, Labels: map[string]string{"a": "<i>"}}))
	run, err := results.Open(recorder.Dir())
	require.NoError(t, err)
	var page, text bytes.Buffer
	require.NoError(t, report.HTML(&page, run, report.Story{}))
	require.NoError(t, report.Markdown(&text, run, report.Story{}))
	for _, bad := range []string{"<script", "<i>", "<b>", "src=", "href=", "@import", "url("} {
		assert.NotContains(t, page.String(), bad)
	}
	assert.NotContains(t, text.String(), "<script")
	assert.Contains(t, text.String(), `alert(1)&lt;/script>\|`)
	assert.Contains(t, page.String(), "&lt;script&gt;alert(1)")
	// Every colour of the charts is one of the page's properties, so that the theme reaches all of it.
	svg := page.String()[strings.Index(page.String(), "<svg"):strings.LastIndex(page.String(), "</svg>")]
	assert.Empty(t, regexp.MustCompile(`#[0-9A-Fa-f]{6}`).FindAllString(svg, -1))
}

func TestCSV(t *testing.T) {
	run := fabricate(t, resultstest.Options{})
	var out bytes.Buffer
	require.NoError(t, report.CSV(&out, run))
	rows, err := csv.NewReader(&out).ReadAll()
	require.NoError(t, err)
	assert.Len(t, rows, len(run.Samples)+1, "every sample, valid or not, has a row")
}

func TestJUnit(t *testing.T) {
	type counts struct{ tests, failures, errors, skipped string }
	tests := map[string]struct {
		options resultstest.Options
		want    counts
	}{
		"passed":      {resultstest.Options{}, counts{"7", "0", "0", "0"}},
		"failed":      {resultstest.Options{Break: "dsr-full"}, counts{"7", "3", "0", "0"}},
		"untested":    {resultstest.Options{Skip: "dsr-full"}, counts{"7", "0", "3", "0"}},
		"unsupported": {resultstest.Options{Skip: "dsr-full", Reported: results.Unsupported, Reason: "no netem"}, counts{"7", "0", "0", "3"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			require.NoError(t, report.JUnit(&out, fabricate(t, test.options)))
			var document struct {
				Suites []struct {
					Tests    string `xml:"tests,attr"`
					Failures string `xml:"failures,attr"`
					Errors   string `xml:"errors,attr"`
					Skipped  string `xml:"skipped,attr"`
				} `xml:"testsuite"`
			}
			require.NoError(t, xml.Unmarshal(out.Bytes(), &document))
			require.Len(t, document.Suites, 1)
			s := document.Suites[0]
			assert.Equal(t, test.want, counts{s.Tests, s.Failures, s.Errors, s.Skipped})
		})
	}
}

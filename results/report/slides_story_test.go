package report

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
)

func TestWords(t *testing.T) {
	for sentence, want := range map[string]string{
		"With DSR it runs at 938.9 Mbit/s, and at 394.1 kbit/s.": "With DSR it runs at [938.9 Mbit/s], and at [394.1 kbit/s].",
		"100 %, 100 % and 0 %":                               "[100 %], [100 %] and [0 %]",
		"DSR loses 0, SNAT 334 of 1,000, 7.81 times (0 B)":   "DSR loses [0], SNAT [334] of [1,000], [7.81 times] ([0 B])",
		"links at 1/2, node-1, 10.0.0.1, v2, 3rd, 5 seconds": "links at 1/2, node-1, 10.0.0.1, v2, 3rd, [5] seconds",
		"": "",
	} {
		var got strings.Builder
		for _, w := range words(sentence) {
			if w.Figure {
				got.WriteString("[" + w.Text + "]")
			} else {
				got.WriteString(w.Text)
			}
		}
		assert.Equal(t, want, got.String())
	}
}

// TestSplit: no part is higher than its slide, none is empty but that of a claim without rows, and no row is lost or moved.
func TestSplit(t *testing.T) {
	short := evidenceRow{Expected: "it is fast", Variant: "dsr", What: "payload rate"}
	long := evidenceRow{Expected: strings.Repeat("it is fast ", 60), Variant: "dsr", What: "payload rate", Why: strings.Repeat("because ", 200)}
	for name, test := range map[string]struct {
		rows  []evidenceRow
		first int
		want  []int
	}{
		"none":                       {nil, 400, []int{0}},
		"one":                        {[]evidenceRow{short}, 400, []int{1}},
		"as many as fit":             {rowsOf(short, 13), short.height() * 3, []int{3, evidenceHeight / short.height(), 13 - 3 - evidenceHeight/short.height()}},
		"one that is too high alone": {[]evidenceRow{short, long, short}, long.height() / 2, []int{1, 1, 1}},
		"first one that is too high": {[]evidenceRow{long, short}, 10, []int{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			var all []evidenceRow
			for _, part := range split(test.rows, test.first) {
				got, all = append(got, len(part)), append(all, part...)
			}
			assert.Equal(t, test.want, got)
			assert.Equal(t, test.rows, all)
		})
	}
}

func rowsOf(row evidenceRow, n int) []evidenceRow {
	rows := make([]evidenceRow, n)
	for i := range rows {
		rows[i] = row
	}
	return rows
}

func TestOverviewIsSplitEvenly(t *testing.T) {
	for n, want := range map[int][]int{0: nil, 1: {1}, 6: {6}, 7: {3, 4}, 14: {4, 5, 5}, 17: {5, 6, 6}} {
		var got []int
		runs := make([]toldView, n)
		for i := range runs {
			runs[i].Run = &results.Run{}
		}
		for _, s := range overview(allView{Runs: runs}) {
			got = append(got, len(s.Labs))
		}
		assert.Equal(t, want, got)
	}
	assert.Equal(t, "No run came to its end of 01, 02.", overview(allView{Missing: []string{"01", "02"}})[0].Text)
}

// TestFixedWidths: a text is as wide as the layout reckoned, whatever font it is drawn with.
func TestFixedWidths(t *testing.T) {
	width := func(words, weight, size string) string {
		text := `<text x="1" style="font-family:Liberation Sans;font-weight:` + weight + `;font-size:` + size + `px">` + words + `</text>`
		found := regexp.MustCompile(` textLength="([0-9.]+)" lengthAdjust="spacingAndGlyphs" `).FindStringSubmatch(fixedWidths(text))
		require.NotNil(t, found, words)
		return found[1]
	}
	assert.Equal(t, "15.0", width("100", "normal", "9"), "three figures of 0.556 em")
	assert.Equal(t, "30.0", width("100", "normal", "18"))
	assert.Equal(t, "5.3", width("&lt;", "normal", "9"), "one letter, though it is written with four")
	assert.NotEqual(t, width("kube-proxy", "normal", "9"), width("kube-proxy", "bold", "9"))
}

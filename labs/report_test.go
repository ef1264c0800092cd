package labs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/report"
)

// TestStories: each lab answers its question with the figures of its reference run, and each of its pictures has samples there.
func TestStories(t *testing.T) {
	names, err := Catalogue()
	require.NoError(t, err)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			run, err := results.Store{Reference: results.Reference()}.Find(name)
			require.NoError(t, err)
			story := StoryOf(run)
			t.Log(story.Answer)
			assert.NotEmpty(t, story.Title)
			assert.NotEmpty(t, story.Question)
			assert.Regexp(t, `[0-9].*\.$`, story.Answer, "a sentence with a figure")
			assert.NotContains(t, story.Answer, "{")
			require.NotEmpty(t, story.Pictures)
			var want, names []string
			for _, p := range story.Pictures {
				if p.Walk != "" {
					for _, w := range story.Walks {
						assert.Empty(t, w.Missing, w.Variant)
					}
					require.NotEmpty(t, story.Walks, "the run's captures are kept")
					continue // TestWalksOfStories has their names
				}
				if !p.Series || len(run.Series) > 0 { // the run may be older than series are
					want = append(want, p.Name)
				}
			}
			for _, c := range report.StoryCharts(run, story) {
				if !strings.HasPrefix(c.Name, "walk-") {
					names = append(names, c.Name)
				}
			}
			assert.Equal(t, want, names, "a picture without samples")
			assert.False(t, story.Pictures[0].Series, "the first one proves the answer, which rests on samples")
		})
	}
}

// TestWalksOfStories: the labs that capture show a walk of each variant whose captures are kept.
func TestWalksOfStories(t *testing.T) {
	for lab, want := range map[string][]string{
		"06-dsr-packet-walk": {"walk-dsr"},
		"01-source-ip":       {"source", "reply", "walk-kube-proxy", "walk-snat", "walk-dsr", "walk-dnat-only", "walk-none"},
	} {
		run, err := results.Store{Reference: results.Reference()}.Find(lab)
		require.NoError(t, err)
		var names []string
		for _, c := range report.StoryCharts(run, StoryOf(run)) {
			names = append(names, c.Name)
		}
		require.GreaterOrEqual(t, len(names), len(want), lab)
		assert.Equal(t, want, names[:len(want)], lab)
	}
}

func TestInvalidReport(t *testing.T) {
	lab, err := Lookup("13")
	require.NoError(t, err)
	r := ReportSpec{Answer: "{value} and {value:nobody} and {of:dsr-fail}", Pictures: []report.Picture{
		{Name: "a", Title: "A", Metrics: []string{"payload_rate"}, Variants: []string{"nobody"}}, {Name: "a", Metrics: []string{"survived", "lost"}, Over: "event"}, {Names: []string{"x"}},
		{Name: "b", Title: "B", Series: true, Metrics: []string{"surviving", "delivered"}, Log: true},
		{Name: "c", Title: "C", Walk: "nowhere", Metrics: []string{"lost"}},
	}}
	n, err := lab.names()
	require.NoError(t, err)
	var found []string
	for _, err := range r.validate(lab, lab.measured(n)) {
		found = append(found, err.Error())
	}
	assert.Equal(t, []string{
		"answer: {value}: missing id (want {value:ID}, the id of an expectation)",
		"answer: {value:nobody}: no expectation has this id",
		"answer: {of:dsr-fail}: needs over or overLabels",
		`pictures[0].variants[0]: unknown variant "nobody": want one of dsr, kube-proxy, snat`,
		"pictures[0].metrics: payload_rate: no phase measures it",
		`pictures[1].name: found "a" (want a unique name)`,
		"pictures[1].title: missing (want what the picture shows)",
		"pictures[1].over: not together with several metrics",
		`pictures[2].name: found "" (want a unique name)`,
		"pictures[2].title: missing (want what the picture shows)",
		"pictures[2].metrics: missing (want at least one)",
		"pictures[2].names: found 1 (want one for each set of labels, 0)",
		"pictures[3].metrics: delivered: no phase records it as a series",
		"pictures[3].series: not together with several metrics, over or log",
		`pictures[4].walk: "nowhere" is no phase that captures`,
		"pictures[4].walk: not together with metrics, over, series or log",
	}, found)
}

package expect

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
)

func TestHeadline(t *testing.T) {
	number := func(v float64) *float64 { return &v }
	summary := results.Summary{Metrics: []results.MetricSummary{
		{Variant: "dsr", Metric: "payload_rate", Unit: "bit/s", Median: number(940e6)},
		{Variant: "none", Metric: "payload_rate", Unit: "bit/s", Median: number(941e6)},
		{Variant: "snat", Metric: "payload_rate", Unit: "bit/s", Median: number(6.21e6), Labels: map[string]string{"burst": "3100b"}},
		{Variant: "snat", Metric: "payload_rate", Unit: "bit/s", Median: number(90.5e6), Labels: map[string]string{"burst": "none"}},
		{Variant: "snat", Metric: "again", Unit: "ratio", Median: number(0.123)},
	}}
	ratio := func(string, map[string]string, string, string) (stats.Estimate, error) {
		return stats.Estimate{Value: 0.999}, nil
	}
	all := List{
		{ID: "dsr", Variant: "dsr", Metric: "payload_rate", Over: "none"},
		{ID: "again", Variant: "snat", Metric: "again"},
		{ID: "policed", Variant: "snat", Metric: "payload_rate", Labels: map[string]string{"burst": "3100b"}, OverLabels: map[string]string{"burst": "none"}},
		{ID: "nothing", Variant: "snat", Metric: "nothing"},
	}
	for _, test := range []struct{ id, headline, want string }{
		{"dsr", "dsr {of}", "dsr 940 of 941 Mbit/s"},
		{"dsr", "{value}, {over}, {ratio}, {percent}", "940 Mbit/s, 941 Mbit/s, 0.999, 99.9 %"},
		{"policed", "policed {value}, {percent:again} retransmitted", "policed 6.21 Mbit/s, 12.3 % retransmitted"},
		{"policed", "{of} is {percent}", "6.21 of 90.5 Mbit/s is 6.86 %"},
		{"nothing", "{value}", ""},
		{"dsr", "dsr {value}, nothing {value:nothing}", ""},
		{"dsr", "", ""},
	} {
		e := *all.Find(test.id)
		e.Headline = test.headline
		assert.Empty(t, all.CheckHeadline(&e), test.headline)
		assert.Equal(t, test.want, all.Headline(&e, summary, ratio), test.headline)
	}
	for headline, want := range map[string]string{
		"{speed}":       "headline: {speed}: unknown placeholder (want value, percent, ratio, over, of)",
		"{value:x}":     "headline: {value:x}: no expectation has this id",
		"{of}":          "headline: {of}: needs over or overLabels",
		"{value} {over": `headline: "{value} {over": braces must enclose a placeholder`,
	} {
		e := *all.Find("again")
		e.Headline = headline
		errs := all.CheckHeadline(&e)
		require.Len(t, errs, 1, headline)
		assert.EqualError(t, errs[0], want)
	}
}

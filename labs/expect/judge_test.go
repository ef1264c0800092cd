package expect

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
)

func TestJudge(t *testing.T) {
	number := func(v float64) *float64 { return &v }
	summary := results.Summary{Metrics: []results.MetricSummary{
		{Variant: "dsr", Metric: "payload_rate", Unit: "bit/s", Median: number(940e6)},
		{Variant: "none", Metric: "payload_rate", Unit: "bit/s", Median: number(941e6)},
		{Variant: "snat", Metric: "payload_rate", Unit: "bit/s", Median: number(10.6e6), Labels: map[string]string{"queue": "1600b"}},
		{Variant: "broken", Metric: "payload_rate", Unit: "bit/s"},
	}}
	tests := []struct {
		name        string
		expectation Expectation
		outcome     results.Outcome
		evidence    string
	}{
		{
			"holds", Expectation{Text: "fast", Variant: "dsr", Metric: "payload_rate", AtLeast: number(900e6), AtMost: number(942e6)},
			results.Held, "fast: payload_rate of dsr is 940 Mbit/s",
		},
		{
			"too low", Expectation{Text: "fast", Variant: "dsr", Metric: "payload_rate", AtLeast: number(941e6)},
			results.Broken, "fast: payload_rate of dsr is 940 Mbit/s; expected at least 941 Mbit/s",
		},
		{
			"too high", Expectation{Text: "slow", Variant: "dsr", Metric: "payload_rate", AtMost: number(1e6)},
			results.Broken, "slow: payload_rate of dsr is 940 Mbit/s; expected at most 1 Mbit/s",
		},
		{
			"ratio", Expectation{Text: "as fast", Variant: "dsr", Metric: "payload_rate", Over: "none", AtLeast: number(0.99)},
			results.Held, "as fast: payload_rate of dsr is 0.98 of that of none (95 % interval 0.97 to 0.995)",
		},
		{
			"ratio whose whole interval is too low", Expectation{Text: "as fast", Variant: "dsr", Metric: "payload_rate", Over: "none", AtLeast: number(0.999)},
			results.Broken, "as fast: payload_rate of dsr is 0.98 of that of none (95 % interval 0.97 to 0.995); expected at least 0.999",
		},
		{
			"labels", Expectation{Text: "collapse", Variant: "snat", Metric: "payload_rate", Labels: map[string]string{"queue": "1600b"}, AtMost: number(30e6)},
			results.Held, "collapse: payload_rate (queue=1600b) of snat is 10.6 Mbit/s",
		},
		{
			"other labels are other samples", Expectation{Variant: "snat", Metric: "payload_rate", AtMost: number(30e6)},
			results.NotRun, "payload_rate of snat was not measured",
		},
		{
			"no valid sample", Expectation{Variant: "broken", Metric: "payload_rate", AtMost: number(0)},
			results.NotRun, "payload_rate of broken was not measured",
		},
		{
			"nothing to compare with", Expectation{Variant: "dsr", Metric: "payload_rate", Over: "broken", AtLeast: number(0)},
			results.NotRun, "broken has no values",
		},
	}
	ratio := func(_ string, _ map[string]string, _, denominator string) (stats.Estimate, error) {
		if denominator == "broken" {
			return stats.Estimate{}, errors.New("broken has no values")
		}
		return stats.Estimate{Value: 0.98, Lo: 0.97, Hi: 0.995, N: 5}, nil
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			outcome, evidence := test.expectation.Judge(summary, ratio)
			assert.Equal(t, test.outcome, outcome)
			assert.Equal(t, test.evidence, evidence)
		})
	}
}

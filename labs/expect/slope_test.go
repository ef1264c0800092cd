package expect

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
)

// sweptSummary is a run over numbers of pods: the payload rate grows by 90 a pod, but for one more at 3 and one less at 2.
func sweptSummary() results.Summary {
	var s results.Summary
	add := func(metric string, median *float64, labels map[string]string) {
		s.Metrics = append(s.Metrics, results.MetricSummary{Variant: "dsr", Metric: metric, Unit: "bit/s", Median: median, Labels: labels})
	}
	for pods, payloadRate := range map[string]float64{"1": 100, "2": 189, "3": 281, "4": 370} {
		add("payload_rate", &payloadRate, map[string]string{"pods": pods})
		add("payload_rate", new(float64), map[string]string{"pods": pods, "shape": "image"})
	}
	zero, one := 0.0, 1.0
	add("drops", &zero, map[string]string{"pods": "1"})
	add("drops", &one, map[string]string{"pods": "2"})
	add("broken", &one, map[string]string{"pods": "1"})
	add("broken", nil, map[string]string{"pods": "2"})
	add("rtt", &one, map[string]string{"pods": "few"})
	add("once", &one, map[string]string{"pods": "1"})
	return s
}

func TestJudgeSlopes(t *testing.T) {
	number := func(v float64) *float64 { return &v }
	one := map[string]string{"pods": "1"}
	tests := []struct {
		name        string
		expectation Expectation
		outcome     results.Outcome
		evidence    string
	}{
		{
			"slope", Expectation{Text: "grows", Metric: "payload_rate", Slope: "pods", AtLeast: number(90.2), AtMost: number(90.2)},
			results.Held, "grows: growth of payload_rate for each of pods of dsr is 90.2 bit/s",
		},
		{
			"slope in proportion to one pod", Expectation{Text: "grows", Metric: "payload_rate", Slope: "pods", OverLabels: one, AtLeast: number(0.95)},
			results.Broken, "grows: growth of payload_rate for each of pods of dsr is 0.902 of payload_rate (pods=1); expected at least 0.95",
		},
		{
			"slope under other labels", Expectation{Text: "flat", Metric: "payload_rate", Slope: "pods", Labels: map[string]string{"shape": "image"}, AtMost: number(0)},
			results.Held, "flat: growth of payload_rate (shape=image) for each of pods of dsr is 0 bit/s",
		},
		{
			"two sets of labels", Expectation{Text: "more", Metric: "payload_rate", Labels: map[string]string{"pods": "4"}, OverLabels: one, AtMost: number(3)},
			results.Broken, "more: payload_rate (pods=4) of dsr is 3.7 of payload_rate (pods=1); expected at most 3",
		},
		{
			"in proportion to nothing", Expectation{Metric: "drops", Labels: map[string]string{"pods": "2"}, OverLabels: one, AtLeast: number(0)},
			results.NotRun, "drops (pods=1) of dsr is 0: nothing can be compared with it",
		},
		{
			"in proportion to what is missing", Expectation{Metric: "drops", Labels: one, OverLabels: map[string]string{"pods": "9"}, AtLeast: number(0)},
			results.NotRun, "drops (pods=9) of dsr was not measured",
		},
		{
			"a value without a valid sample", Expectation{Metric: "broken", Slope: "pods", AtLeast: number(0)},
			results.NotRun, "broken (pods=2) of dsr was not measured",
		},
		{
			"no number", Expectation{Metric: "rtt", Slope: "pods", AtLeast: number(0)},
			results.NotRun, `label pods of rtt: found "few" (want a number)`,
		},
		{
			"one value", Expectation{Metric: "once", Slope: "pods", AtLeast: number(0)},
			results.NotRun, "once of dsr: found 1 values of pods (want at least 2 for a slope)",
		},
		{
			"no value", Expectation{Metric: "payload_rate", Slope: "queue", AtLeast: number(0)},
			results.NotRun, "payload_rate of dsr: found 0 values of queue (want at least 2 for a slope)",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.expectation.Variant = "dsr"
			outcome, evidence := test.expectation.Judge(sweptSummary(), func(string, map[string]string, string, string) (stats.Estimate, error) {
				t.Fatal("no ratio of variants was asked for")
				return stats.Estimate{}, nil
			})
			assert.Equal(t, test.outcome, outcome)
			assert.Equal(t, test.evidence, evidence)
		})
	}
}

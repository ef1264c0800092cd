package labs

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/labs/expect"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// TestObserve: bounds of rates follow the run's scale and those of ratios do not; what was not measured, or is for another substrate, says so.
func TestObserve(t *testing.T) {
	number := func(v float64) *float64 { return &v }
	lab := &Lab{Spec: Spec{Expectations: []expect.Expectation{
		{ID: "rate", Text: "fast", Variant: "dsr", Metric: "payload_rate", AtLeast: number(850e6), AtMost: number(942e6)},
		{ID: "too-slow", Text: "faster", Variant: "snat", Metric: "payload_rate", AtLeast: number(94e6)},
		{ID: "over", Text: "as fast", Variant: "dsr", Metric: "payload_rate", Over: "none", AtLeast: number(0.97)},
		{ID: "over-labels", Text: "collapses", Variant: "snat", Metric: "payload_rate", Labels: map[string]string{"limit": "police"},
			OverLabels: map[string]string{}, AtMost: number(0.25)},
		{ID: "count", Text: "drops", Variant: "snat", Metric: "drops", AtLeast: number(1)},
		{ID: "missing", Text: "drops too", Variant: "dsr", Metric: "drops", AtMost: number(0)},
		{ID: "elsewhere", Variant: "dsr", Metric: "payload_rate", Substrate: topologies.SubstrateKindK, AtLeast: number(1)},
	}}}
	run := &results.Run{Manifest: results.Manifest{Scale: "1/2", Variants: []string{"none", "snat", "dsr"}}}
	add := func(variant, metric, unit string, labels map[string]string, values ...float64) {
		for i, v := range values {
			run.Samples = append(run.Samples, results.Sample{Variant: variant, Repetition: i, Metric: metric, Unit: unit, Value: v, Labels: labels})
		}
	}
	add("none", "payload_rate", "bit/s", nil, 480e6, 480e6, 480e6)
	add("dsr", "payload_rate", "bit/s", nil, 470e6, 470e6, 470e6)
	add("snat", "payload_rate", "bit/s", nil, 40e6)
	add("snat", "payload_rate", "bit/s", map[string]string{"limit": "police"}, 5e6)
	add("snat", "drops", "packets", nil, 7)
	ratio := 470.0 / 480
	assert.Equal(t, []Observation{
		{
			ID: "rate", Outcome: results.Held, Evidence: "fast: payload_rate of dsr is 470 Mbit/s", Value: 470e6, Low: 470e6, High: 470e6,
			Unit: "bit/s", AtLeast: number(425e6), AtMost: number(471e6), Factor: 0.5,
		},
		{
			ID: "too-slow", Outcome: results.Broken, Evidence: "faster: payload_rate of snat is 40 Mbit/s; expected at least 47 Mbit/s",
			Value: 40e6, Low: 40e6, High: 40e6, Unit: "bit/s", AtLeast: number(47e6), Factor: 0.5,
		},
		{
			ID: "over", Outcome: results.Held, Evidence: "as fast: payload_rate of dsr is 0.979 of that of none (95 % interval 0.979 to 0.979)",
			Value: ratio, Low: ratio, High: ratio, Unit: "ratio", AtLeast: number(0.97), Factor: 1,
		},
		{
			ID: "over-labels", Outcome: results.Held, Evidence: "collapses: payload_rate (limit=police) of snat is 0.125 of payload_rate",
			Value: 0.125, Low: 0.125, High: 0.125, Unit: "ratio", AtMost: number(0.25), Factor: 1,
		},
		{
			ID: "count", Outcome: results.Held, Evidence: "drops: drops of snat is 7 packets", Value: 7, Low: 7, High: 7, Unit: "packets",
			AtLeast: number(1), Factor: 1,
		},
		{ID: "missing", Outcome: results.NotRun, Evidence: "drops of dsr was not measured", AtMost: number(0), Factor: 1},
	}, Observe(lab, run))
	assert.Equal(t, 850e6, *lab.Spec.Expectations[0].AtLeast, "the lab keeps its own bounds")
}

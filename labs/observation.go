package labs

import (
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// Observation is the finding of one run for one expectation of its lab.
type Observation struct {
	// ID is that of the expectation.
	ID string
	// Outcome is the judgement of the run's record; Evidence is what was found, or why nothing was measured.
	Outcome  results.Outcome
	Evidence string
	// Value is what was measured. Of a ratio between two variants, Low and High bound its 95 % interval; of anything else, both are Value.
	// All three are 0 if Outcome is NotRun.
	Value, Low, High float64
	// Unit of Value and the bounds; "ratio" for one that has none.
	Unit string
	// AtLeast and AtMost are the expectation's bounds at the run's scale, nil where it has none.
	AtLeast, AtMost *float64
	// Factor is what the run's scale has multiplied the bounds by: 1 for bounds that do not follow the scale. Divided by it, values of runs at
	// different scales can be compared with each other and with the lab's own bounds.
	Factor float64
}

// Observe judges a run by its record, and returns an observation for each of the lab's expectations that apply to the run's substrate, in
// the lab's order. It is pure.
func Observe(lab *Lab, run *results.Run) []Observation {
	summary := results.Summarize(run)
	scale := scaleOf(run.Manifest.Scale)
	var all []Observation
	for _, e := range lab.expectations().On(topologies.SubstrateKind(run.Manifest.On())) {
		scaled := e.At(scale.Factor())
		o := Observation{ID: e.ID, AtLeast: scaled.AtLeast, AtMost: scaled.AtMost, Factor: 1}
		if e.Unit() == "bit/s" {
			o.Factor = scale.Factor()
		}
		if m, err := scaled.Measured(summary, run.Ratio); err == nil {
			o.Value, o.Low, o.High, o.Unit = m.Value, m.Low, m.High, m.Unit
		}
		o.Outcome, o.Evidence = scaled.Judge(summary, run.Ratio)
		all = append(all, o)
	}
	return all
}

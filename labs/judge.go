package labs

import (
	"errors"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// judgeRun compares what was recorded with what the lab expects on the run's substrate, and records the outcomes.
func judgeRun(lab *Lab, recorder *results.Recorder) error {
	run, err := results.Open(recorder.Dir())
	if err != nil {
		return err
	}
	summary := results.Summarize(run)
	var errs []error
	for _, e := range lab.expectations().On(topologies.SubstrateKind(run.Manifest.On())) {
		outcome, evidence := e.At(scaleOf(run.Manifest.Scale).Factor()).Judge(summary, run.Ratio)
		errs = append(errs, recorder.ExpectWith(e.ID, outcome, evidence, lab.expectations().Headline(&e, summary, run.Ratio)))
		if e.Differs != "" && outcome == results.Held {
			for _, claim := range e.Claims {
				errs = append(errs, recorder.Verdict(claim, results.Differs, evidence+". "+e.Differs))
			}
		}
	}
	return errors.Join(errs...)
}

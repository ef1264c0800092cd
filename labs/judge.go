package labs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/results/units"
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
	for _, e := range lab.expectationsOn(topologies.SubstrateKind(run.Manifest.On())) {
		outcome, evidence := e.at(scaleOf(run.Manifest.Scale)).judge(summary, run.Ratio)
		errs = append(errs, recorder.ExpectWith(e.ID, outcome, evidence, lab.headline(&e, summary, run.Ratio)))
		if e.Differs != "" && outcome == results.Held {
			for _, claim := range e.Claims {
				errs = append(errs, recorder.Verdict(claim, results.Differs, evidence+". "+e.Differs))
			}
		}
	}
	return errors.Join(errs...)
}

// at returns the expectation at a scale of the links' rates: bounds of rates follow it, ratios don't.
func (e Expectation) at(s Scale) *Expectation {
	if e.Unit() != "bit/s" {
		return &e
	}
	for _, bound := range []**float64{&e.AtLeast, &e.AtMost} {
		if *bound != nil {
			scaled := **bound * s.Factor()
			*bound = &scaled
		}
	}
	return &e
}

// Unit returns bit/s for a bound that is a rate, and ratio for any other.
func (e *Expectation) Unit() string {
	if e.Over == "" && e.OverLabels == nil && strings.HasPrefix(e.Metric, "payload_rate") {
		return "bit/s"
	}
	return ""
}

// compare has the signature of results.Run.Ratio.
type compare func(metric string, labels map[string]string, numerator, denominator string) (stats.Estimate, error)

// measured is what was measured for an expectation: a value with its unit, and for a ratio the interval that it lies in.
type measured struct {
	value, low, high float64
	unit, phrase     string
}

// judge compares the expectation with what was measured. It is pure. A ratio breaks a bound only if its whole interval does,
// because anything less may be noise of the machine.
func (e *Expectation) judge(s results.Summary, ratio compare) (results.Outcome, string) {
	m, err := e.measured(s, ratio)
	if err != nil {
		return results.NotRun, err.Error()
	}
	evidence := fmt.Sprintf("%s: %s", e.Text, m.phrase)
	if e.AtLeast != nil && m.high < *e.AtLeast {
		return results.Broken, fmt.Sprintf("%s; expected at least %s", evidence, units.Format(*e.AtLeast, m.unit))
	}
	if e.AtMost != nil && m.low > *e.AtMost {
		return results.Broken, fmt.Sprintf("%s; expected at most %s", evidence, units.Format(*e.AtMost, m.unit))
	}
	return results.Held, evidence
}

// measured returns the value that the bounds apply to, or why there is none.
func (e *Expectation) measured(s results.Summary, ratio compare) (measured, error) {
	if e.Over != "" {
		estimate, err := ratio(e.Metric, e.Labels, e.Variant, e.Over)
		if err != nil {
			return measured{}, err
		}
		m := measured{value: estimate.Value, low: estimate.Value, high: estimate.Value, unit: unitRatio}
		m.phrase = fmt.Sprintf("%s of %s is %s of that of %s", e.name(), e.Variant, units.Number(m.value), e.Over)
		if estimate.HasInterval() {
			m.low, m.high = estimate.Lo, estimate.Hi
			m.phrase += fmt.Sprintf(" (95 %% interval %s to %s)", units.Number(m.low), units.Number(m.high))
		}
		return m, nil
	}
	v, unit, err := e.value(s)
	if err != nil {
		return measured{}, err
	}
	if e.OverLabels == nil {
		return measured{v, v, v, unit, fmt.Sprintf("%s of %s is %s", e.name(), e.Variant, units.Format(v, unit))}, nil
	}
	base, _, err := e.median(s, e.OverLabels)
	if err != nil {
		return measured{}, err
	}
	if base == 0 {
		return measured{}, fmt.Errorf("%s of %s is 0: nothing can be compared with it", nameUnder(e.Metric, e.OverLabels), e.Variant)
	}
	v /= base
	return measured{v, v, v, unitRatio, fmt.Sprintf("%s of %s is %s of %s", e.name(), e.Variant, units.Number(v), nameUnder(e.Metric, e.OverLabels))}, nil
}

// value returns the median, or the slope through medians, and its unit.
func (e *Expectation) value(s results.Summary) (v float64, unit string, err error) {
	if e.Slope != "" {
		return slope(s, e)
	}
	return e.median(s, e.Labels)
}

// median returns the median of the metric under labels.
func (e *Expectation) median(s results.Summary, labels map[string]string) (v float64, unit string, err error) {
	found, ok := s.Find(e.Variant, e.Metric, labels)
	if !ok || found.Median == nil {
		return 0, "", fmt.Errorf("%s of %s was not measured", nameUnder(e.Metric, labels), e.Variant)
	}
	return *found.Median, found.Unit, nil
}

func (e *Expectation) name() string {
	name := nameUnder(e.Metric, e.Labels)
	if e.Slope != "" {
		return "growth of " + name + " for each of " + e.Slope
	}
	return name
}

// nameUnder formats a metric with its labels.
func nameUnder(metric string, labels map[string]string) string {
	if len(labels) == 0 {
		return metric
	}
	return metric + " (" + results.FormatLabels(labels) + ")"
}

// unitRatio is that of samples without a unit.
const unitRatio = "ratio"

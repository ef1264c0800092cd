package labs

import (
	"errors"
	"fmt"

	"github.com/dsrlab/dsrlab/results"
)

// judgeRun holds what was recorded against the lab's expectations, and records the outcomes.
func judgeRun(lab *Lab, recorder *results.Recorder) error {
	run, err := results.Open(recorder.Dir())
	if err != nil {
		return err
	}
	summary := results.Summarize(run)
	var errs []error
	for i := range lab.Spec.Expectations {
		e := &lab.Spec.Expectations[i]
		outcome, evidence := e.judge(summary)
		errs = append(errs, recorder.Expect(e.ID, outcome, evidence))
	}
	return errors.Join(errs...)
}

// judge compares the expectation with what was measured. It is pure.
func (e *Expectation) judge(s results.Summary) (results.Outcome, string) {
	value, what, ok := e.measured(s)
	if !ok {
		return results.NotRun, what
	}
	evidence := fmt.Sprintf("%s: %s", e.Text, what)
	if e.AtLeast != nil && value < *e.AtLeast {
		return results.Broken, fmt.Sprintf("%s; expected at least %s", evidence, format(*e.AtLeast))
	}
	if e.AtMost != nil && value > *e.AtMost {
		return results.Broken, fmt.Sprintf("%s; expected at most %s", evidence, format(*e.AtMost))
	}
	return results.Held, evidence
}

// measured is the value that the bounds hold for, and a phrase for it; or not ok, and why.
func (e *Expectation) measured(s results.Summary) (value float64, what string, ok bool) {
	m, found := s.Find(e.Variant, e.Metric, e.Labels)
	if !found || m.Median == nil {
		return 0, fmt.Sprintf("%s of %s was not measured", e.name(), e.Variant), false
	}
	if e.Over == "" {
		return *m.Median, fmt.Sprintf("%s of %s is %s", e.name(), e.Variant, formatUnit(*m.Median, m.Unit)), true
	}
	base, found := s.Find(e.Over, e.Metric, e.Labels)
	if !found || base.Median == nil || *base.Median == 0 {
		return 0, fmt.Sprintf("%s of %s was not measured", e.name(), e.Over), false
	}
	value = *m.Median / *base.Median
	return value, fmt.Sprintf("%s of %s is %s of that of %s", e.name(), e.Variant, format(value), e.Over), true
}

func (e *Expectation) name() string {
	if len(e.Labels) == 0 {
		return e.Metric
	}
	return e.Metric + " (" + results.FormatLabels(e.Labels) + ")"
}

// format prints four digits, with thousands and millions in words that people read at a glance.
func format(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.4g million", v/1e6)
	default:
		return fmt.Sprintf("%.4g", v)
	}
}

// formatUnit leaves the unit out where there is none.
func formatUnit(v float64, unit string) string {
	if unit == "ratio" {
		return format(v)
	}
	return format(v) + " " + unit
}

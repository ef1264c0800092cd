package expect

import (
	"fmt"
	"strings"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/results/units"
)

// At returns the expectation where the links' rates are multiplied by a factor: bounds of rates follow it, ratios don't.
func (e Expectation) At(factor float64) *Expectation {
	if e.Unit() != "bit/s" {
		return &e
	}
	for _, bound := range []**float64{&e.AtLeast, &e.AtMost} {
		if *bound != nil {
			scaled := **bound * factor
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

// Compare has the signature of results.Run.Ratio.
type Compare func(metric string, labels map[string]string, numerator, denominator string) (stats.Estimate, error)

// Measured is what was measured for an expectation.
type Measured struct {
	// Value, and for a ratio the interval that it lies in; for anything else Low and High are Value.
	Value, Low, High float64
	Unit             string
	phrase           string
}

// Judge compares the expectation with what was measured. It is pure. A ratio breaks a bound only if its whole interval does,
// because anything less may be noise of the machine.
func (e *Expectation) Judge(s results.Summary, ratio Compare) (results.Outcome, string) {
	m, err := e.Measured(s, ratio)
	if err != nil {
		return results.NotRun, err.Error()
	}
	evidence := fmt.Sprintf("%s: %s", e.Text, m.phrase)
	if e.AtLeast != nil && m.High < *e.AtLeast {
		return results.Broken, fmt.Sprintf("%s; expected at least %s", evidence, units.Format(*e.AtLeast, m.Unit))
	}
	if e.AtMost != nil && m.Low > *e.AtMost {
		return results.Broken, fmt.Sprintf("%s; expected at most %s", evidence, units.Format(*e.AtMost, m.Unit))
	}
	return results.Held, evidence
}

// Measured returns the value that the bounds apply to, or why there is none.
func (e *Expectation) Measured(s results.Summary, ratio Compare) (Measured, error) {
	if e.Over != "" {
		estimate, err := ratio(e.Metric, e.Labels, e.Variant, e.Over)
		if err != nil {
			return Measured{}, err
		}
		m := Measured{Value: estimate.Value, Low: estimate.Value, High: estimate.Value, Unit: unitRatio}
		m.phrase = fmt.Sprintf("%s of %s is %s of that of %s", e.name(), e.Variant, units.Number(m.Value), e.Over)
		if estimate.HasInterval() {
			m.Low, m.High = estimate.Lo, estimate.Hi
			m.phrase += fmt.Sprintf(" (95 %% interval %s to %s)", units.Number(m.Low), units.Number(m.High))
		}
		return m, nil
	}
	v, unit, err := e.value(s)
	if err != nil {
		return Measured{}, err
	}
	if e.OverLabels == nil {
		return Measured{v, v, v, unit, fmt.Sprintf("%s of %s is %s", e.name(), e.Variant, units.Format(v, unit))}, nil
	}
	base, _, err := e.median(s, e.OverLabels)
	if err != nil {
		return Measured{}, err
	}
	if base == 0 {
		return Measured{}, fmt.Errorf("%s of %s is 0: nothing can be compared with it", nameUnder(e.Metric, e.OverLabels), e.Variant)
	}
	v /= base
	return Measured{v, v, v, unitRatio, fmt.Sprintf("%s of %s is %s of %s", e.name(), e.Variant, units.Number(v), nameUnder(e.Metric, e.OverLabels))}, nil
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

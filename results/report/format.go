package report

import (
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/units"
)

// Median prints the median of a summary with its unit; a dash where there is none.
func Median(m results.MetricSummary) string {
	if m.Median == nil {
		return "–"
	}
	return results.FormatValue(m.Metric, m.Unit, *m.Median)
}

// Interval prints the confidence interval of a summary in the scale of its median; a dash where there is none.
func Interval(m results.MetricSummary) string {
	if m.CI95 == nil {
		return "–"
	}
	s := results.ScaleFor(m.Metric, m.Unit, *m.Median)
	return units.Number(m.CI95[0]/s.Divisor) + " to " + units.Number(m.CI95[1]/s.Divisor)
}

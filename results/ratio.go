package results

import (
	"fmt"

	"github.com/dsrlab/dsrlab/results/stats"
)

// Ratio compares two variants of one run: the median over repetitions of metric(numerator)/metric(denominator), with its
// 95 % confidence interval. Only samples under exactly these labels count, and only repetitions in which both variants
// have a valid sample; several samples of a repetition enter by their median. This is how to check an expectation like
// "dsr reaches 0.99 of none".
func (r *Run) Ratio(metric string, labels map[string]string, numerator, denominator string) (stats.Estimate, error) {
	return PairedRatio(r.Samples, r.Manifest.Seed, metric, labels, numerator, denominator)
}

// PairedRatio is Run.Ratio for samples that are not in a folder yet.
func PairedRatio(samples []Sample, seed uint64, metric string, labels map[string]string, numerator, denominator string) (stats.Estimate, error) {
	want := FormatLabels(labels)
	values := map[string]map[int][]float64{numerator: {}, denominator: {}}
	last := -1
	for _, s := range samples {
		reps, ok := values[s.Variant]
		if !ok || s.Metric != metric || !s.Valid() || FormatLabels(s.Labels) != want {
			continue
		}
		reps[s.Repetition] = append(reps[s.Repetition], s.Value)
		last = max(last, s.Repetition)
	}
	var num, den []float64
	for repetition := 0; repetition <= last; repetition++ {
		a, b := values[numerator][repetition], values[denominator][repetition]
		if len(a) > 0 && len(b) > 0 {
			num, den = append(num, stats.Median(a)), append(den, stats.Median(b))
		}
	}
	if len(num) == 0 {
		return stats.Estimate{}, fmt.Errorf("%s of %s and of %s was not measured together: no repetition has a sample of both that counts",
			metric, numerator, denominator)
	}
	group := Group{Metric: metric, Variant: numerator + "/" + denominator, Labels: labels}
	estimate, err := stats.Bootstrap{Seed: group.seed(seed)}.PairedRatio(num, den)
	if err != nil {
		return estimate, fmt.Errorf("compare %s of %s and %s: %w", metric, numerator, denominator, err)
	}
	return estimate, nil
}

// Package stats holds the statistics of dsrlab's results: medians, percentiles, spread, and bootstrap confidence
// intervals of medians and of ratios. All of it is pure: the same numbers and the same seed give the same answer.
package stats

import (
	"math"
	"slices"
)

// Median of xs; NaN for no values. The order of xs does not matter and is kept.
func Median(xs []float64) float64 { return Percentile(xs, 50) }

// Percentile p (0 to 100) of xs by linear interpolation between the closest ranks, type 7 of Hyndman and Fan, "Sample
// quantiles in statistical packages", The American Statistician 50 (1996). NaN for no values or a p out of range.
func Percentile(xs []float64, p float64) float64 {
	if len(xs) == 0 || !(p >= 0 && p <= 100) {
		return math.NaN()
	}
	return sortedPercentile(slices.Sorted(slices.Values(xs)), p)
}

func sortedPercentile(sorted []float64, p float64) float64 {
	rank := p / 100 * float64(len(sorted)-1)
	low := int(math.Floor(rank))
	high := min(low+1, len(sorted)-1)
	part := rank - float64(low)
	if part == 0 || sorted[low] == sorted[high] {
		return sorted[low]
	}
	return sorted[low]*(1-part) + sorted[high]*part
}

// Mean of xs; NaN for no values. It divides before it adds, so that large values do not overflow.
func Mean(xs []float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	mean := 0.0
	for i, x := range xs {
		mean += (x - mean) / float64(i+1)
	}
	return mean
}

// StdDev is the standard deviation of the sample xs (n-1 in the denominator); NaN for fewer than two values.
func StdDev(xs []float64) float64 {
	if len(xs) < 2 {
		return math.NaN()
	}
	mean, sum := Mean(xs), 0.0
	for _, x := range xs {
		sum += (x - mean) * (x - mean)
	}
	return math.Sqrt(sum / float64(len(xs)-1))
}

// CV is the coefficient of variation of the sample xs: standard deviation by mean, without a unit. Of counts per pod it
// says how uneven a load is: 0 is even. NaN for fewer than two values or a mean of 0.
func CV(xs []float64) float64 {
	mean := Mean(xs)
	if mean == 0 {
		return math.NaN()
	}
	return StdDev(xs) / math.Abs(mean)
}

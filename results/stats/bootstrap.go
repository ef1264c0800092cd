package stats

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Method describes the intervals of this package, for reports.
const Method = "percentile bootstrap of the median (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13), seeded"

// ErrNoValues says that a statistic was asked of nothing.
var ErrNoValues = errors.New("no values")

// ErrZeroDenominator says that a ratio to zero was asked for.
var ErrZeroDenominator = errors.New("ratio to a median of zero")

// Bootstrap is how intervals are made; the zero value is ready to use.
//
// The intervals are percentile intervals. BCa would need an acceleration estimated by the jackknife, and the jackknife is
// inconsistent for the median (Efron and Tibshirani 1993, section 11.6), so it would be no better founded here.
type Bootstrap struct {
	// Resamples is how often the sample is drawn anew (default 2000).
	Resamples int
	// Confidence of the interval, between 0 and 1 (default 0.95).
	Confidence float64
	// Seed makes the draws repeatable.
	Seed uint64
}

// Estimate is a value with its confidence interval. Lo and Hi are NaN where fewer than two values leave nothing to vary.
type Estimate struct {
	Value, Lo, Hi float64
	N             int // values (or pairs) it rests on
}

// HasInterval reports whether Lo and Hi are known.
func (e Estimate) HasInterval() bool { return !math.IsNaN(e.Lo) && !math.IsNaN(e.Hi) }

// Median estimates the median of xs.
func (b Bootstrap) Median(xs []float64) (Estimate, error) {
	if len(xs) == 0 {
		return Estimate{}, fmt.Errorf("estimate median: %w", ErrNoValues)
	}
	est := Estimate{Value: Median(xs), N: len(xs)}
	est.Lo, est.Hi = b.interval(xs)
	return est, nil
}

// PairedRatio estimates the median of num[i]/den[i], where both were measured next to each other (interleaved variants of
// one repetition): what drifts over a run meets both of a pair and cancels. Pairs are resampled, never their halves.
func (b Bootstrap) PairedRatio(num, den []float64) (Estimate, error) {
	if len(num) != len(den) {
		return Estimate{}, fmt.Errorf("estimate paired ratio: %d numerators for %d denominators", len(num), len(den))
	}
	ratios := make([]float64, len(num))
	for i := range num {
		if den[i] == 0 {
			return Estimate{}, fmt.Errorf("estimate paired ratio: pair %d: %w", i, ErrZeroDenominator)
		}
		ratios[i] = num[i] / den[i]
	}
	est, err := b.Median(ratios)
	if err != nil {
		return Estimate{}, fmt.Errorf("estimate paired ratio: %w", err)
	}
	return est, nil
}

// interval resamples the median and cuts off the tails.
func (b Bootstrap) interval(xs []float64) (lo, hi float64) {
	if len(xs) < 2 {
		return math.NaN(), math.NaN()
	}
	resamples, confidence := b.Resamples, b.Confidence
	if resamples <= 0 {
		resamples = 2000
	}
	if confidence <= 0 || confidence >= 1 {
		confidence = 0.95
	}
	r := rand.New(rand.NewPCG(b.Seed, 0x647372)) // the second word only has to be fixed
	values, draw := make([]float64, resamples), make([]float64, len(xs))
	for i := range values {
		values[i] = resampledMedian(r, xs, draw)
	}
	slices.Sort(values)
	tail := (1 - confidence) / 2 * 100
	return sortedPercentile(values, tail), sortedPercentile(values, 100-tail)
}

func resampledMedian(r *rand.Rand, xs, draw []float64) float64 {
	for i := range draw {
		draw[i] = xs[r.IntN(len(xs))]
	}
	slices.Sort(draw)
	return sortedPercentile(draw, 50)
}

package stats_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/quick"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results/stats"
)

func TestBootstrapEdges(t *testing.T) {
	var b stats.Bootstrap
	_, err := b.Median(nil)
	require.ErrorIs(t, err, stats.ErrNoValues)
	_, err = b.PairedRatio([]float64{1, 2}, []float64{1})
	require.EqualError(t, err, "estimate paired ratio: 2 numerators for 1 denominators")
	_, err = b.PairedRatio([]float64{1, 2}, []float64{1, 0})
	require.ErrorIs(t, err, stats.ErrZeroDenominator)

	one, err := b.Median([]float64{42})
	require.NoError(t, err)
	assert.Equal(t, 42.0, one.Value)
	assert.False(t, one.HasInterval(), "one value has no spread to estimate from")

	same, err := b.Median([]float64{5, 5, 5})
	require.NoError(t, err)
	assert.Equal(t, stats.Estimate{Value: 5, Lo: 5, Hi: 5, N: 3}, same)
}

func TestBootstrapProperties(t *testing.T) {
	properties := map[string]func(raw []float64, seed uint64) bool{
		"the same seed gives the same interval": func(raw []float64, seed uint64) bool {
			xs := finite(raw)
			if len(xs) < 2 {
				return true
			}
			b := stats.Bootstrap{Resamples: 100, Seed: seed}
			one, _ := b.Median(xs)
			other, _ := b.Median(xs)
			return one == other
		},
		"the interval lies within the values and holds the median of many draws": func(raw []float64, seed uint64) bool {
			xs := finite(raw)
			if len(xs) < 2 {
				return true
			}
			est, err := stats.Bootstrap{Resamples: 400, Seed: seed}.Median(xs)
			return err == nil && slices.Min(xs) <= est.Lo && est.Lo <= est.Hi && est.Hi <= slices.Max(xs)
		},
		"more confidence is no narrower": func(raw []float64, seed uint64) bool {
			xs := finite(raw)
			if len(xs) < 2 {
				return true
			}
			half, _ := stats.Bootstrap{Resamples: 200, Seed: seed, Confidence: 0.5}.Median(xs)
			most, _ := stats.Bootstrap{Resamples: 200, Seed: seed, Confidence: 0.99}.Median(xs)
			return most.Lo <= half.Lo && half.Hi <= most.Hi
		},
		"a constant factor is found exactly by pairs": func(raw []float64, seed uint64) bool {
			den := make([]float64, 0, len(raw))
			for _, x := range finite(raw) {
				den = append(den, 1+math.Abs(x))
			}
			if len(den) < 2 {
				return true
			}
			num := make([]float64, len(den))
			for i := range den {
				num[i] = den[i] * 4
			}
			est, err := stats.Bootstrap{Resamples: 50, Seed: seed}.PairedRatio(num, den)
			return err == nil && est.Value == 4 && est.Lo == 4 && est.Hi == 4
		},
	}
	for name, property := range properties {
		t.Run(name, func(t *testing.T) { require.NoError(t, quick.Check(property, seeded())) })
	}
}

// TestPairsCancelDrift is why variants are interleaved: both halves of a pair drift alike over a run.
func TestPairsCancelDrift(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	num, den := make([]float64, 20), make([]float64, 20)
	for i := range num {
		drift := 1 + float64(i)/10 // the machine's speed triples from first to last
		num[i] = 200 * drift * (1 + r.NormFloat64()/200)
		den[i] = 100 * drift * (1 + r.NormFloat64()/200)
	}
	paired, err := stats.Bootstrap{}.PairedRatio(num, den)
	require.NoError(t, err)
	alone, err := stats.Bootstrap{}.Median(num)
	require.NoError(t, err)
	assert.InDelta(t, 2, paired.Value, 0.02)
	assert.Less(t, paired.Hi-paired.Lo, 0.05)
	assert.Greater(t, (alone.Hi-alone.Lo)/alone.Value, 10*(paired.Hi-paired.Lo)/paired.Value)
}

// TestCoverage draws from known distributions and counts how often the interval holds the truth. The percentile interval
// of a median errs to the wide side at small n, so the upper bound is loose.
func TestCoverage(t *testing.T) {
	draws := map[string]struct {
		draw   func(*rand.Rand) float64
		median float64
	}{
		"normal":             {func(r *rand.Rand) float64 { return 100 + 5*r.NormFloat64() }, 100},
		"skewed exponential": {func(r *rand.Rand) float64 { return r.ExpFloat64() }, math.Ln2},
	}
	for name, test := range draws {
		t.Run(name, func(t *testing.T) {
			const trials, n = 400, 15
			r, held := rand.New(rand.NewPCG(5, 6)), 0
			for trial := range trials {
				xs := make([]float64, n)
				for i := range xs {
					xs[i] = test.draw(r)
				}
				est, err := stats.Bootstrap{Resamples: 400, Seed: uint64(trial)}.Median(xs)
				require.NoError(t, err)
				if est.Lo <= test.median && test.median <= est.Hi {
					held++
				}
			}
			assert.GreaterOrEqual(t, held, trials*90/100)
			assert.LessOrEqual(t, held, trials*995/1000)
		})
	}
}

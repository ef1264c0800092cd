package stats_test

import (
	"math"
	oldrand "math/rand" // what testing/quick takes
	"math/rand/v2"
	"slices"
	"testing"
	"testing/quick"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results/stats"
)

func TestPercentile(t *testing.T) {
	nan := math.NaN()
	tests := map[string]struct {
		xs   []float64
		p    float64
		want float64
	}{
		"nothing":          {nil, 50, nan},
		"one":              {[]float64{7}, 95, 7},
		"odd":              {[]float64{9, 1, 5}, 50, 5},
		"even":             {[]float64{4, 1, 3, 2}, 50, 2.5},
		"interpolated":     {[]float64{15, 20, 35, 40, 50}, 40, 29}, // type 7: rank 1.6
		"lowest":           {[]float64{3, 2, 1}, 0, 1},
		"highest":          {[]float64{3, 2, 1}, 100, 3},
		"below the range":  {[]float64{1}, -1, nan},
		"above the range":  {[]float64{1}, 101, nan},
		"not a percentage": {[]float64{1}, nan, nan},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := stats.Percentile(test.xs, test.p)
			if math.IsNaN(test.want) {
				assert.True(t, math.IsNaN(got), "got %v", got)
				return
			}
			assert.InDelta(t, test.want, got, 1e-12)
		})
	}
}

func TestSpread(t *testing.T) {
	xs := []float64{2, 4, 4, 4, 5, 5, 7, 9}
	assert.InDelta(t, 5, stats.Mean(xs), 1e-12)
	assert.InDelta(t, math.Sqrt(32.0/7), stats.StdDev(xs), 1e-12)
	assert.InDelta(t, math.Sqrt(32.0/7)/5, stats.CV(xs), 1e-12)
	assert.True(t, math.IsNaN(stats.Mean(nil)))
	assert.True(t, math.IsNaN(stats.StdDev([]float64{1})))
	assert.True(t, math.IsNaN(stats.CV([]float64{-1, 1})))
	assert.Zero(t, stats.CV([]float64{3, 3, 3}))
}

// finite maps what testing/quick makes up to values that a measurement can have.
func finite(xs []float64) []float64 {
	out := make([]float64, 0, len(xs))
	for _, x := range xs {
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			out = append(out, math.Mod(x, 1e12))
		}
	}
	return out
}

func TestDescribeProperties(t *testing.T) {
	properties := map[string]func(raw []float64, a, b uint8) bool{
		"the order does not matter, and is kept": func(raw []float64, _, _ uint8) bool {
			xs := finite(raw)
			before := slices.Clone(xs)
			shuffled := slices.Clone(xs)
			rand.New(rand.NewPCG(1, 2)).Shuffle(len(xs), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			same := len(xs) == 0 || stats.Median(xs) == stats.Median(shuffled)
			return same && slices.Equal(before, xs)
		},
		"percentiles rise": func(raw []float64, a, b uint8) bool {
			xs := finite(raw)
			low, high := min(a, b), max(a, b)
			return len(xs) == 0 || stats.Percentile(xs, float64(low)/2.55) <= stats.Percentile(xs, float64(high)/2.55)
		},
		"median and mean lie within the values": func(raw []float64, _, _ uint8) bool {
			xs := finite(raw)
			if len(xs) == 0 {
				return true
			}
			lo, hi := slices.Min(xs), slices.Max(xs)
			slack := 1e-9 * math.Max(math.Abs(lo), math.Abs(hi))
			mean, median := stats.Mean(xs), stats.Median(xs)
			return lo <= median && median <= hi && lo-slack <= mean && mean <= hi+slack
		},
		"half of the values lie on each side of the median": func(raw []float64, _, _ uint8) bool {
			xs := finite(raw)
			median, below, above := stats.Median(xs), 0, 0
			for _, x := range xs {
				if x < median {
					below++
				} else if x > median {
					above++
				}
			}
			return below <= len(xs)/2 && above <= len(xs)/2
		},
		"the spread does not change with the unit": func(raw []float64, a, _ uint8) bool {
			xs := finite(raw)
			scaled := make([]float64, len(xs))
			for i := range xs {
				scaled[i] = xs[i] * (float64(a) + 1)
			}
			one, other := stats.CV(xs), stats.CV(scaled)
			return math.IsNaN(one) || math.Abs(one-other) <= 1e-6*math.Max(1, one) || one > 1e6 // a mean near 0 cancels
		},
	}
	for name, property := range properties {
		t.Run(name, func(t *testing.T) { require.NoError(t, quick.Check(property, seeded())) })
	}
}

// seeded makes property tests repeatable.
func seeded() *quick.Config {
	return &quick.Config{Rand: oldrand.New(oldrand.NewSource(1)), MaxCount: 300}
}

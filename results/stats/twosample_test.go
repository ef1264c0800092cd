package stats_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/results/stats"
)

func TestMannWhitney(t *testing.T) {
	tests := map[string]struct {
		as, bs   []float64
		p, least float64
	}{
		"apart":           {[]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2.0 / 70, 2.0 / 70},
		"three each":      {[]float64{1, 2, 3}, []float64{5, 6, 7}, 0.1, 0.1},
		"mixed":           {[]float64{1, 4, 5, 8}, []float64{2, 3, 6, 7}, 1, 2.0 / 70},
		"tied at the end": {[]float64{0, 0, 0, 0}, []float64{0, 3, 4, 5}, 2 * 5.0 / 70 * 5 / 5, 2 * 5.0 / 70 / 5 * 5},
		"all equal":       {[]float64{7, 7}, []float64{7, 7}, 1, 1},
		"none on a side":  {nil, []float64{1, 2}, 1, 1},
		"none at all":     {nil, nil, 1, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := stats.MannWhitney(test.as, test.bs)
			assert.InDelta(t, test.p, got.P, 1e-9)
			assert.InDelta(t, test.least, got.Smallest, 1e-6)
			back := stats.MannWhitney(test.bs, test.as)
			assert.InDelta(t, got.P, back.P, 1e-12, "either way")
			assert.InDelta(t, got.Smallest, back.Smallest, 1e-12)
		})
	}
}

func TestShift(t *testing.T) {
	as, bs := []float64{1, 2, 3, 4}, []float64{11, 12, 13, 14}
	got := stats.Shift(as, bs)
	assert.Equal(t, stats.Estimate{Value: 10, Lo: 7, Hi: 13, N: 4}, got, "with 4 and 4 the interval is all pairs")
	ratio := stats.RatioShift([]float64{1, 1, 1, 1, 1}, []float64{2, 2, 2, 2, 2})
	assert.Equal(t, stats.Estimate{Value: 2, Lo: 2, Hi: 2, N: 5}, ratio)
	assert.False(t, stats.Shift(as[:3], bs[:3]).HasInterval(), "no interval of 95 % exists")
	many := make([]float64, 200)
	for i := range many {
		many[i] = float64(i)
	}
	wide := stats.Shift(many, many)
	assert.InDelta(t, 0, wide.Value, 1e-9)
	assert.True(t, wide.Lo > -15 && wide.Lo < -8 && math.Abs(wide.Lo+wide.Hi) < 1e-9, "%v", wide)
}

func TestRejected(t *testing.T) {
	able := func(p float64) stats.Test { return stats.Test{P: p, Smallest: 1e-6} }
	tests := map[string]struct {
		tests []stats.Test
		want  []bool
	}{
		"none":                        {nil, []bool{}},
		"one":                         {[]stats.Test{able(0.04)}, []bool{true}},
		"one of two is not enough":    {[]stats.Test{able(0.04), able(0.9)}, []bool{false, false}},
		"the second has it easier":    {[]stats.Test{able(0.04), able(0.02)}, []bool{true, true}},
		"those unable do not count":   {[]stats.Test{able(0.04), {P: 1, Smallest: 1}, {P: 0.1, Smallest: 0.1}}, []bool{true, false, false}},
		"too many that are hardly so": {[]stats.Test{{0.03, 0.03}, {0.03, 0.03}, {0.03, 0.03}}, []bool{false, false, false}},
		"enough of those hardly able": {[]stats.Test{{0.01, 0.01}, {0.01, 0.01}, {0.5, 0.01}}, []bool{true, true, false}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, stats.Rejected(test.tests, 0.05)) })
	}
}

func TestSamples(t *testing.T) {
	assert.Equal(t, 4, stats.FewestSamples(0.05))
	assert.Equal(t, 5, stats.FewestSamples(0.01))
	assert.Equal(t, 8, stats.FewestSamples(0.05/100))
	quiet, loud := []float64{100, 100.1, 99.9, 100.05}, []float64{100, 50, 150, 80}
	assert.Equal(t, 4, stats.SamplesToFind(0.03, 0.05, 1, quiet))
	assert.Equal(t, 0, stats.SamplesToFind(0.03, 0.05, 1, loud), "not to be found")
	assert.Equal(t, 0, stats.SamplesToFind(0.03, 0.05, 1, []float64{5}), "nothing is known")
	assert.Greater(t, stats.SamplesToFind(0.03, 0.05, 1, []float64{100, 102, 98, 101}), 4)
}

package results_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/resultstest"
	"github.com/dsrlab/dsrlab/results/stats"
)

func fabricate(t *testing.T, o resultstest.Options) *results.Run {
	t.Helper()
	run, err := results.Open(resultstest.Run(t, t.TempDir(), o))
	require.NoError(t, err)
	return run
}

func TestCompare(t *testing.T) {
	a := fabricate(t, resultstest.Options{Seed: 1})
	b := fabricate(t, resultstest.Options{Seed: 2, Scale: 0.8, Break: "dsr-full"})
	b.Environment.Before.Kernel = "6.1.0"
	c := results.Compare(a, b, 0)

	assert.Equal(t, []results.Condition{{Name: "kernel", A: "6.12.0-fabricated", B: "6.1.0"}}, c.Conditions)
	assert.Equal(t, []results.ComparedClaim{
		{ID: "THR-1", A: results.Reproduced, B: results.Reproduced, Same: true}, {ID: "THR-2", A: results.Reproduced, B: results.Differs},
	}, c.Claims)
	find := func(variant, metric string) results.ComparedMetric {
		for _, m := range c.Metrics {
			if m.Variant == variant && m.Metric == metric && m.Labels == nil {
				return m
			}
		}
		t.Fatalf("%s of %s is not compared", metric, variant)
		return results.ComparedMetric{}
	}
	none := find("none", "goodput")
	assert.Equal(t, results.Same, none.Finding)
	assert.Contains(t, none.Text, "no material difference: ")
	dsr := find("dsr", "goodput")
	assert.Equal(t, results.Lower, dsr.Finding)
	assert.InDelta(t, 0.8, *dsr.Ratio, 0.01)
	assert.Less(t, dsr.CI95[1], 0.82)
	bytes := find("dsr", "lb_port_bytes_reply")
	assert.Equal(t, results.Same, bytes.Finding)
	assert.Equal(t, "no material difference: 0 in both", bytes.Text)
	assert.Nil(t, bytes.Ratio)

	back := results.Compare(b, a, 0)
	for i, m := range back.Metrics {
		if m.Variant == "dsr" && m.Metric == "goodput" {
			assert.Equal(t, results.Higher, back.Metrics[i].Finding)
		}
	}
}

// TestCompareFindings takes one metric through every finding.
func TestCompareFindings(t *testing.T) {
	record := func(values ...float64) *results.Run {
		recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
		for i, value := range values {
			require.NoError(t, recorder.AddSample(results.Sample{Variant: "dsr", Repetition: i, Metric: "m", Unit: "s", Value: value}))
		}
		require.NoError(t, recorder.AddSample(results.Sample{Variant: "dsr", Metric: "m", Unit: "s", Value: 5, Invalid: "busy"}))
		run, err := results.Open(recorder.Dir())
		require.NoError(t, err)
		return run
	}
	tests := map[string]struct {
		a, b []float64
		want results.Finding
		text string
	}{
		"same":            {[]float64{100, 101, 99}, []float64{101, 100, 102}, results.Same, "no material difference: +1.0 % (95 % interval -1.0 % to +3.0 %)"},
		"hardly lower":    {[]float64{100000, 100000}, []float64{99999, 99999}, results.Same, "no material difference: +0.0 % (95 % interval +0.0 % to +0.0 %)"},
		"higher":          {[]float64{100, 100}, []float64{200, 200}, results.Higher, "higher in B: +100.0 % (95 % interval +100.0 % to +100.0 %)"},
		"lower":           {[]float64{100, 100}, []float64{50, 50}, results.Lower, "lower in B: -50.0 % (95 % interval -50.0 % to -50.0 %)"},
		"wide":            {[]float64{50, 100, 150}, []float64{60, 100, 140}, results.Undecided, "not decided: +0.0 % (95 % interval -60.0 % to +180.0 %), margin 5 %"},
		"single":          {[]float64{100}, []float64{100}, results.Undecided, "not decided: +0.0 %, but too few samples for an interval"},
		"zero in both":    {[]float64{0, 0}, []float64{0, 0}, results.Same, "no material difference: 0 in both"},
		"from zero":       {[]float64{0, 0}, []float64{3, 4}, results.Higher, "0 in A, always above 0 in B"},
		"hardly zero":     {[]float64{0, 0, 1}, []float64{0, 1, 1}, results.Undecided, "not decided: the median of A is 0, so there is no ratio"},
		"nothing in B":    {[]float64{1}, nil, results.OnlyA, "no valid sample in B"},
		"nothing in A":    {nil, []float64{1}, results.OnlyB, "no valid sample in A"},
		"nothing at all ": {nil, nil, results.Undecided, "no valid sample in either run"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := results.Compare(record(test.a...), record(test.b...), 0)
			require.Len(t, c.Metrics, 1)
			assert.Equal(t, test.want, c.Metrics[0].Finding)
			assert.Equal(t, test.text, c.Metrics[0].Text)
		})
	}
}

func TestRatioOfVariants(t *testing.T) {
	run := fabricate(t, resultstest.Options{})
	ratio, err := run.Ratio("goodput", nil, "dsr", "none")
	require.NoError(t, err)
	assert.InDelta(t, 940.0/941, ratio.Value, 0.004)
	assert.Equal(t, resultstest.Repetitions, ratio.N)

	ratio, err = run.Ratio("goodput", nil, "kube-proxy", "none")
	require.NoError(t, err)
	assert.Equal(t, resultstest.Repetitions-1, ratio.N, "a pair with an invalid half is no pair")

	_, err = run.Ratio("goodput", nil, "dsr", "nothing")
	require.ErrorIs(t, err, stats.ErrNoValues)
	_, err = run.Ratio("retransmits", nil, "snat", "dsr")
	require.ErrorIs(t, err, stats.ErrZeroDenominator)
}

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
	none := find("none", "payload_rate")
	assert.Equal(t, results.NoDifference, none.Finding)
	assert.Contains(t, none.Text, "no difference shown: ")
	dsr := find("dsr", "payload_rate")
	assert.Equal(t, results.Worse, dsr.Finding)
	assert.InDelta(t, 0.8, *dsr.Ratio, 0.01)
	assert.Less(t, dsr.CI95[1], 0.82)
	bytes := find("dsr", "lb_port_bytes_reply")
	assert.Equal(t, results.NoDifference, bytes.Finding)
	assert.Equal(t, "no difference shown: always 0 B", bytes.Text)
	assert.Nil(t, bytes.Ratio)

	assert.Equal(t, c, results.Compare(a, b, 0), "nothing in it is random")
	back := results.Compare(b, a, 0)
	for i, m := range back.Metrics {
		if m.Variant == "dsr" && m.Metric == "payload_rate" {
			assert.Equal(t, results.Better, back.Metrics[i].Finding)
		}
	}
}

// TestCompareFindings takes one metric through every finding.
func TestCompareFindings(t *testing.T) {
	record := func(metric string, values ...float64) *results.Run {
		recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
		for i, value := range values {
			require.NoError(t, recorder.AddSample(results.Sample{Variant: "dsr", Repetition: i, Metric: metric, Unit: "s", Value: value}))
		}
		require.NoError(t, recorder.AddSample(results.Sample{Variant: "dsr", Metric: metric, Unit: "s", Value: 5, Invalid: "busy"}))
		run, err := results.Open(recorder.Dir())
		require.NoError(t, err)
		return run
	}
	low, high := []float64{100, 101, 102, 103}, []float64{110, 111, 112, 113}
	tests := map[string]struct {
		metric string
		a, b   []float64
		want   results.Finding
		text   string
	}{
		"more is better": {"payload_rate", low, high, results.Better, "better: +9.9 % (95 % interval +6.8 % to +13.0 %)"},
		"less is better": {"rtt", low, high, results.Worse, "worse: +9.9 % (95 % interval +6.8 % to +13.0 %)"},
		"neither":        {"m", high, low, results.Lower, "lower: -9.0 % (95 % interval -11.5 % to -6.4 %)"},
		"above 0":        {"lost", []float64{0, 0, 0, 0, 0}, []float64{3, 4, 5, 6, 7}, results.Worse, "worse: +5 s (95 % interval +3 s to +7 s)"},
		"wide":           {"payload_rate", []float64{50, 100, 150, 200}, []float64{60, 100, 140, 190}, results.NoDifference, "no difference shown: -2.5 % (95 % interval -70.0 % to +280.0 %)"},
		"three each": {"payload_rate", low[:3], high[:3], results.NoDifference,
			"no difference shown: +9.9 % (too few samples for an interval: 3 and 3)"},
		"always the same": {"m", []float64{7, 7}, []float64{7, 7}, results.NoDifference, "no difference shown: always 7 s"},
		"nothing in B":    {"m", []float64{1}, nil, results.OnlyA, "no valid sample in B"},
		"nothing in A":    {"m", nil, []float64{1}, results.OnlyB, "no valid sample in A"},
		"nothing at all":  {"m", nil, nil, results.NoDifference, "no valid sample in either run"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := results.Compare(record(test.metric, test.a...), record(test.metric, test.b...), 0)
			require.Len(t, c.Metrics, 1)
			assert.Equal(t, test.want, c.Metrics[0].Finding)
			assert.Equal(t, test.text, c.Metrics[0].Text)
		})
	}
}

// TestRepetitionsCountOnce: samples of one repetition are not independent and must not make a difference look firm.
func TestRepetitionsCountOnce(t *testing.T) {
	record := func(level float64) *results.Run {
		recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
		for i := range 40 {
			value := level + float64(i/20) + float64(i%20)/100
			require.NoError(t, recorder.AddSample(results.Sample{Variant: "dsr", Repetition: i / 20, Metric: "payload_rate", Unit: "bit/s", Value: value}))
		}
		run, err := results.Open(recorder.Dir())
		require.NoError(t, err)
		return run
	}
	c := results.Compare(record(100), record(200), 0)
	assert.Equal(t, 2, c.Metrics[0].SamplesA)
	assert.Equal(t, results.NoDifference, c.Metrics[0].Finding)
	assert.Contains(t, c.Conclusion(), "The runs have 2 samples of each, and it takes 4 of each to show a difference in any: "+
		"dsrlab lab run 02-throughput --repetitions 4.")
}

func TestRatioOfVariants(t *testing.T) {
	run := fabricate(t, resultstest.Options{})
	ratio, err := run.Ratio("payload_rate", nil, "dsr", "none")
	require.NoError(t, err)
	assert.InDelta(t, 940.0/941, ratio.Value, 0.004)
	assert.Equal(t, resultstest.Repetitions, ratio.N)

	ratio, err = run.Ratio("payload_rate", nil, "kube-proxy", "none")
	require.NoError(t, err)
	assert.Equal(t, resultstest.Repetitions-1, ratio.N, "a pair with an invalid half is no pair")

	_, err = run.Ratio("payload_rate", nil, "dsr", "nothing")
	require.ErrorContains(t, err, "payload_rate of dsr and of nothing was not measured together")
	_, err = run.Ratio("retransmits", nil, "snat", "dsr")
	require.ErrorIs(t, err, stats.ErrZeroDenominator)
}

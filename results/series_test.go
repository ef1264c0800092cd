package results_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

// tenths are n moments, a tenth of a second apart, and a value for each.
func tenths(n int) (at []time.Duration, values []float64) {
	for i := range n {
		at, values = append(at, time.Duration(i+1)*100*time.Millisecond), append(values, float64(i%7))
	}
	return at, values
}

// TestCoarse: however long it was measured, a series has a bounded number of values, and what it adds up to and when it ended is kept.
func TestCoarse(t *testing.T) {
	for _, n := range []int{0, 1, 2, 199, 200, 201, 400, 401, 3000} {
		at, values := tenths(n)
		amounts, levels := results.NewAmounts("delivered", "B", at, values), results.NewLevels("surviving", "downloads", at, values)
		want, got := 0.0, 0.0
		for _, v := range values {
			want += v
		}
		for _, v := range amounts.Values {
			got += v
		}
		assert.InDelta(t, want, got, 1e-9, "nothing of %d is lost", n)
		for _, s := range []results.Series{amounts, levels} {
			require.Len(t, s.At, len(s.Values), n)
			assert.LessOrEqual(t, len(s.Values), results.MaxPoints, n)
			if n <= results.MaxPoints {
				assert.Len(t, s.Values, n)
			}
			for i := 1; i < len(s.At); i++ {
				assert.Greater(t, s.At[i], s.At[i-1])
			}
			if n > 0 {
				assert.InDelta(t, float64(n)/10, s.At[len(s.At)-1], 1e-9)
			}
		}
		if n > 0 {
			assert.Equal(t, []float64{values[0], values[n-1]}, []float64{levels.Values[0], levels.Values[len(levels.Values)-1]})
		}
	}
}

// TestTooClose: what comes within a microsecond is not told apart, and is no error either.
func TestTooClose(t *testing.T) {
	at := []time.Duration{100, 1000, 1200, 5000, 5100}
	amounts := results.NewAmounts("delivered", "B", at, []float64{1, 2, 4, 8, 16})
	assert.Equal(t, []float64{1e-6, 5e-6}, amounts.At)
	assert.Equal(t, []float64{3, 28}, amounts.Values)
	assert.Empty(t, results.NewAmounts("delivered", "B", at[:1], []float64{1}).Values, "no time has passed")
	levels := results.NewLevels("surviving", "downloads", at, []float64{1, 2, 4, 8, 16})
	assert.Equal(t, []float64{0, 1e-6, 5e-6}, levels.At)
	assert.Equal(t, []float64{1, 2, 8}, levels.Values)
}

func TestDistribution(t *testing.T) {
	assert.Empty(t, results.NewDistribution("answer", "s", nil).Values)
	few := results.NewDistribution("answer", "s", []float64{3, 1, 2})
	assert.Equal(t, []float64{1, 2, 3}, few.Values, "all of them")
	assert.Equal(t, 3, few.Count)
	var many []float64
	for i := 1000; i >= 0; i-- {
		many = append(many, float64(i))
	}
	s := results.NewDistribution("answer", "s", many)
	require.Len(t, s.Values, 101)
	for i, v := range s.Values {
		assert.InDelta(t, float64(10*i), v, 1e-9)
	}
	assert.Equal(t, 1001, s.Count)
	assert.InDelta(t, 1000, many[0], 0, "the caller's values stay as they are")
}

// TestSeriesFile holds a series to its line, and to what is read from it.
func TestSeriesFile(t *testing.T) {
	recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
	path := filepath.Join(recorder.Dir(), "series.jsonl")
	assert.NoFileExists(t, path, "a run without series is as it always was")

	at, values := tenths(2)
	delivered := results.NewAmounts("delivered", "B", at, values)
	delivered.Variant, delivered.Labels = "dsr", map[string]string{"queue": "64kb"}
	answers := results.NewDistribution("answer", "s", []float64{0.002, 0.001})
	answers.Variant, answers.Repetition, answers.Invalid = "snat", 1, "no CPU was free"
	require.NoError(t, recorder.AddSeries(delivered))
	require.NoError(t, recorder.AddSeries(answers))
	_, err := recorder.Close(results.Untested, "it is made up")
	require.NoError(t, err)
	require.ErrorContains(t, recorder.AddSeries(delivered), "the run is closed")

	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, `{"variant":"dsr","repetition":0,"metric":"delivered","unit":"B","kind":"amounts","at":[0.1,0.2],"values":[0,1],"valid":true,"labels":{"queue":"64kb"}}
{"variant":"snat","repetition":1,"metric":"answer","unit":"s","kind":"distribution","values":[0.001,0.002],"count":2,"valid":false,"reason":"no CPU was free"}
`, string(data))
	run, err := results.Open(recorder.Dir())
	require.NoError(t, err)
	assert.Equal(t, []results.Series{delivered, answers}, run.Series)

	require.NoError(t, os.WriteFile(path, data[:len(data)-3], 0o644))
	_, err = results.Open(recorder.Dir())
	require.ErrorContains(t, err, "series.jsonl ends within a line, although the run came to its end")
}

// TestRunWithoutSeries: runs that were recorded before there were series are read as ever, with everything else in them.
func TestRunWithoutSeries(t *testing.T) {
	dir := resultstest.Run(t, t.TempDir(), resultstest.Options{})
	assert.NoFileExists(t, filepath.Join(dir, "series.jsonl"))
	run, err := results.Open(dir)
	require.NoError(t, err)
	assert.Empty(t, run.Series)
	assert.NotEmpty(t, run.Samples)
	assert.Equal(t, results.Passed, results.Summarize(run).Result)
}

func TestSeriesRefused(t *testing.T) {
	good := results.Series{Variant: "dsr", Metric: "delivered", Unit: "B", Kind: results.Amounts, At: []float64{0.1, 0.2}, Values: []float64{1, 2}}
	for name, test := range map[string]struct {
		change func(*results.Series)
		want   string
	}{
		"no values": {func(s *results.Series) { s.At, s.Values = nil, nil }, "values: found 0 (want 1 to 200)"},
		"too many": {func(s *results.Series) {
			s.Kind, s.At, s.Values, s.Count = results.Distribution, nil, make([]float64, 201), 201
		},
			"values: found 201 (want 1 to 200)"},
		"no number": {func(s *results.Series) { s.Values[1] = math.NaN() }, "values: found one that is no number from 0 up"},
		"no moment": {func(s *results.Series) { s.At = s.At[:1] }, "at: found 1 (want one for each of 2 values)"},
		"backwards": {func(s *results.Series) { s.At[1] = 0.1 }, "at: found 0.1 after 0.1 (want each later than the one before)"},
		"unsorted": {func(s *results.Series) {
			s.Kind, s.At, s.Values, s.Count = results.Distribution, nil, []float64{2, 1}, 2
		},
			"values: want them from the smallest to the largest"},
		"moments of values": {func(s *results.Series) { s.Kind, s.Count = results.Distribution, 1 },
			"at, count: found 2 and 1 (want none, and at least the 2 values)"},
		"all that is wrong": {func(s *results.Series) { s.Variant, s.Unit, s.Kind = "drs", "", "circle" },
			"variant: unknown variant \"drs\" (want one of none, kube-proxy, snat, dsr)\nunit: is empty\n" +
				"kind: found \"circle\" (want amounts, levels or distribution)"},
		"another kind": {func(s *results.Series) { s.Kind = results.Levels }, "unit, kind: B, levels, but other series of delivered have B, amounts"},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
			require.NoError(t, recorder.AddSeries(good))
			bad := good
			bad.At, bad.Values = append([]float64(nil), good.At...), append([]float64(nil), good.Values...)
			test.change(&bad)
			require.EqualError(t, recorder.AddSeries(bad), `add series of "delivered": `+test.want)

			// A file that has it anyhow is refused, too.
			line, err := good.MarshalJSON()
			require.NoError(t, err)
			edited, err := bad.MarshalJSON()
			if err != nil {
				return // JSON has no NaN
			}
			lines := strings.Join([]string{string(line), string(edited), ""}, "\n")
			require.NoError(t, os.WriteFile(filepath.Join(recorder.Dir(), "series.jsonl"), []byte(lines), 0o644))
			_, err = results.Open(recorder.Dir())
			require.EqualError(t, err, "read run "+recorder.Dir()+": series.jsonl:2: "+test.want)
		})
	}
}

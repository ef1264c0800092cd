package results_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

func TestRecorderRoundTrip(t *testing.T) {
	dir := resultstest.Run(t, t.TempDir(), resultstest.Options{Seed: 7})
	run, err := results.Open(dir)
	require.NoError(t, err)

	assert.Equal(t, results.Finished, run.State())
	assert.Equal(t, results.Schema, run.Manifest.Schema)
	assert.Equal(t, "20010203T040506Z-02-throughput-test7", run.Manifest.Run)
	assert.Equal(t, uint64(7), run.Manifest.Seed)
	assert.True(t, run.Manifest.Ended.After(run.Manifest.Started))
	assert.Equal(t, []string{"captures/lb.pcapng"}, run.Raw)
	require.NotNil(t, run.Environment.After)
	busy, steal := run.Environment.Busy()
	assert.InDelta(t, 150.0/1003, busy, 1e-9)
	assert.InDelta(t, 3.0/1003, steal, 1e-9)
	assert.Contains(t, run.Environment.Lab, "qdiscs")
	assert.Equal(t, []string{"payload_rate", "retransmits", "lb_port_bytes_reply", "source_preserved"}, run.Metrics())

	invalid := 0
	for _, s := range run.Samples {
		if !s.Valid() {
			invalid++
			assert.Equal(t, "link calibration off by 7.1 %", s.Invalid)
		}
	}
	assert.Equal(t, 1, invalid)
	assert.Len(t, run.Samples, resultstest.Repetitions*(4*5+2*8), "no sample is lost")
}

func TestSampleLine(t *testing.T) {
	recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
	at := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	require.NoError(t, recorder.AddSample(results.Sample{Variant: "dsr", Repetition: 2, Metric: "payload_rate", Unit: "bit/s", Value: 9.5e8, Time: at}))
	require.NoError(t, recorder.AddSample(results.Sample{Variant: "dsr", Repetition: 3, Metric: "payload_rate", Unit: "bit/s", Value: math.NaN(), Time: at,
		Invalid: "no connection", Labels: map[string]string{"queue": "64kb"}}))
	data, err := os.ReadFile(filepath.Join(recorder.Dir(), "samples.jsonl"))
	require.NoError(t, err)
	assert.Equal(t, `{"variant":"dsr","repetition":2,"metric":"payload_rate","unit":"bit/s","value":950000000,"time":"2001-02-03T04:05:06Z","valid":true}
{"variant":"dsr","repetition":3,"metric":"payload_rate","unit":"bit/s","value":null,"time":"2001-02-03T04:05:06Z","valid":false,"reason":"no connection","labels":{"queue":"64kb"}}
`, string(data))
}

func TestRecorderRefuses(t *testing.T) {
	good := results.Sample{Variant: "dsr", Metric: "payload_rate", Unit: "bit/s", Value: 1}
	recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
	require.NoError(t, recorder.AddSample(good))
	sample := func(change func(*results.Sample)) func() error {
		return func() error { s := good; change(&s); return recorder.AddSample(s) }
	}
	tests := map[string]struct {
		do   func() error
		want string
	}{
		"a value without a reason": {sample(func(s *results.Sample) { s.Value = math.NaN() }),
			`add sample of "payload_rate": value: NaN is not a measured value; give a reason in Invalid and NaN`},
		"an endless value, even invalid": {sample(func(s *results.Sample) { s.Value, s.Invalid = math.Inf(1), "x" }),
			`add sample of "payload_rate": value: +Inf is not a measured value; give a reason in Invalid and NaN`},
		"all that is wrong at once": {sample(func(s *results.Sample) { s.Variant, s.Unit, s.Repetition = "drs", "", -1 }),
			"add sample of \"payload_rate\": variant: unknown variant \"drs\" (want one of none, kube-proxy, snat, dsr)\nrepetition: -1, counts from 0\nunit: is empty"},
		"a second unit": {sample(func(s *results.Sample) { s.Unit = "Mbit/s" }),
			`add sample of "payload_rate": unit: "Mbit/s", but other samples have "bit/s"`},
		"an expectation as event": {func() error { return recorder.AddEvent(results.EventExpectation, "x", nil) },
			"add event: kind expectation is written by Expect and Verdict"},
		"data that is no JSON": {func() error { return recorder.AddEvent(results.EventStep, "x", make(chan int)) },
			"add event step: json: unsupported type: chan int"},
		"an unknown expectation": {func() error { return recorder.Expect("nope", results.Held, "x") },
			`record expectation: "nope" is not in the manifest`},
		"an unknown outcome": {func() error { return recorder.Expect("dsr-full", "fine", "x") },
			`record expectation dsr-full: outcome "fine", want held, failed or not-run`},
		"an outcome without evidence": {func() error { return recorder.Expect("dsr-full", results.Held, "") },
			"record expectation dsr-full: evidence is empty"},
		"a verdict on a claim of others": {func() error { return recorder.Verdict("NLB-1", results.Reproduced, "x") },
			`record verdict: claim "NLB-1" is not in the manifest`},
		"a raw file outside": {func() error { _, err := recorder.RawFile("../x"); return err },
			`create raw file: "../x" must stay below raw/`},
		"a failure without a reason": {func() error { _, err := recorder.Close(results.Failed, ""); return err },
			`close run: result failed with reason ""; every result but passed has one`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { require.EqualError(t, test.do(), test.want) })
	}
	data, err := os.ReadFile(filepath.Join(recorder.Dir(), "samples.jsonl"))
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(data), "\n"), "what is refused leaves no trace")
}

func TestCreateRefusesManifest(t *testing.T) {
	_, err := results.Create(results.Config{Dir: t.TempDir(), Manifest: results.Manifest{
		Run: "a/b", Lab: "02-throughput", Variants: []string{"snat", "snat"}, Claims: []string{"THR-9"},
		Expectations: []results.Expectation{{ID: "x", Text: "y", Variant: "dsr", Claims: []string{"THR-1"}}, {ID: "x"}},
	}})
	require.EqualError(t, err, `create run: manifest: run: "a/b" must be letters, digits, dots, dashes and underscores, as it names a folder
repetitions: 0, want at least 1
variants[1]: "snat" must be a name of its own
claims[0]: "THR-9" is not in claims.yaml
expectations[0].variant: "dsr" is no variant of the run
expectations[0].claims: THR-1 is not among the claims of the run
expectations[1].id: "x" must be an id of its own
expectations[1].text: is empty, want a sentence`)
}

func TestCreateNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	resultstest.Run(t, dir, resultstest.Options{})
	_, err := results.Create(results.Config{Dir: dir, Manifest: resultstest.Manifest(resultstest.Options{})})
	require.ErrorIs(t, err, os.ErrExist)
}

func TestRecorderAfterClose(t *testing.T) {
	recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
	_, err := recorder.Close(results.Failed, "interrupted")
	require.NoError(t, err)
	assert.ErrorContains(t, recorder.AddSample(results.Sample{Variant: "dsr", Metric: "m", Unit: "s"}), "the run is closed")
	assert.ErrorContains(t, recorder.AddEvent(results.EventStep, "x", nil), "the run is closed")
	assert.ErrorContains(t, recorder.Describe("x", 1), "the run is closed")
	_, err = recorder.RawFile("x")
	assert.ErrorContains(t, err, "the run is closed")
	_, err = recorder.Close(results.Passed, "")
	assert.ErrorContains(t, err, "the run is closed")
}

func TestRecorderConcurrent(t *testing.T) {
	recorder := resultstest.Create(t, t.TempDir(), resultstest.Options{})
	var wait sync.WaitGroup
	for repetition := range 50 {
		wait.Go(func() {
			assert.NoError(t, recorder.AddSample(results.Sample{Variant: "dsr", Repetition: repetition, Metric: "m", Unit: "s", Time: time.Unix(1, 0)}))
		})
	}
	wait.Wait()
	run, err := results.Open(recorder.Dir())
	require.NoError(t, err)
	assert.Len(t, run.Samples, 50)
	assert.Zero(t, run.Torn)
}

// TestUnfinished cuts a run's files at every length that a crash could leave, and expects it to be read up to there.
func TestUnfinished(t *testing.T) {
	dir := resultstest.Run(t, t.TempDir(), resultstest.Options{LeaveOpen: true})
	run, err := results.Open(dir)
	require.NoError(t, err)
	assert.Equal(t, results.Unfinished, run.State())
	summary := results.Summarize(run)
	assert.Equal(t, results.Untested, summary.Result)
	assert.Equal(t, "the run is unfinished", summary.Reason())

	path := filepath.Join(dir, "samples.jsonl")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	end := strings.Index(string(data), "\n") + 1
	second := end + strings.Index(string(data[end:]), "\n") + 1
	for cut := end; cut <= second; cut++ {
		require.NoError(t, os.WriteFile(path, data[:cut], 0o644))
		run, err := results.Open(dir)
		require.NoError(t, err, "cut at %d", cut)
		whole := 1
		if cut == second {
			whole = 2
		}
		assert.Len(t, run.Samples, whole, "cut at %d", cut)
		assert.Equal(t, cut != end && cut != second, run.Torn == 1, "cut at %d", cut)
	}
	for _, name := range []string{"samples.jsonl", "events.jsonl", "env.json"} {
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
		run, err := results.Open(dir)
		require.NoError(t, err, "crashed before %s was made", name)
		assert.Equal(t, results.Untested, results.Summarize(run).Result)
	}
}

func TestOpenRefusesDamage(t *testing.T) {
	tests := map[string]struct {
		file string
		edit func(string) string
		want string
	}{
		"cut after the end": {"samples.jsonl", func(s string) string { return s[:len(s)-5] },
			"samples.jsonl, events.jsonl or series.jsonl ends within a line, although the run came to its end: it was cut short later"},
		"garbage in between": {"samples.jsonl", func(s string) string { return "{}}\n" + s },
			"samples.jsonl:1: invalid character '}' after top-level value"},
		"invalid without a reason": {"samples.jsonl", func(s string) string { return strings.Replace(s, `"valid":true`, `"valid":false`, 1) },
			`samples.jsonl:1: valid is false with reason "": an invalid sample has a reason, and only that`},
		"another version": {"manifest.json", func(s string) string { return strings.Replace(s, "results/v1", "results/v9", 1) },
			`manifest.json: schema: "dsrlab.results/v9", this program reads "dsrlab.results/v1"`},
		"a variant of nowhere": {"samples.jsonl", func(s string) string { return strings.Replace(s, `"none"`, `"nine"`, 1) },
			`samples.jsonl:1: variant: unknown variant "nine" (want one of none, kube-proxy, snat, dsr)`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := resultstest.Run(t, t.TempDir(), resultstest.Options{})
			path := filepath.Join(dir, test.file)
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, []byte(test.edit(string(data))), 0o644))
			_, err = results.Open(dir)
			require.EqualError(t, err, "read run "+dir+": "+test.want)
		})
	}
}

// TestSummaryFile holds the written summary against one rendered again from the folder, and its JSON to the documented keys.
func TestSummaryFile(t *testing.T) {
	dir := resultstest.Run(t, t.TempDir(), resultstest.Options{})
	written, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	require.NoError(t, err)
	run, err := results.Open(dir)
	require.NoError(t, err)
	again, err := json.Marshal(results.Summarize(run))
	require.NoError(t, err)
	assert.JSONEq(t, string(written), string(again))

	var keys map[string]any
	require.NoError(t, json.Unmarshal(written, &keys))
	assert.ElementsMatch(t, []string{"schema", "run", "lab", "result", "claims", "metrics"}, keysOf(keys))
	assert.ElementsMatch(t, []string{"id", "verdict", "evidence", "headlines"}, keysOf(keys["claims"].([]any)[0].(map[string]any)))
	first := keys["metrics"].([]any)[0].(map[string]any)
	assert.ElementsMatch(t, []string{"variant", "metric", "unit", "n", "valid", "median", "ci95"}, keysOf(first))
	assert.Len(t, first["ci95"], 2)
}

func keysOf(m map[string]any) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

// fakeProgram stands for dsrlab: a shell script.
func fakeProgram(t *testing.T, script string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dsrlab")
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	return file
}

func throughput(t *testing.T) *labs.Lab {
	t.Helper()
	lab, err := labs.Lookup("02-throughput")
	require.NoError(t, err)
	return lab
}

func TestRunLab(t *testing.T) {
	dir := t.TempDir()
	resultstest.Run(t, dir, resultstest.Options{Run: "one", Break: "snat-capped"})
	for _, test := range []struct {
		name, script string
		timeout      time.Duration
		want         labRun
	}{
		{
			"a lab that failed has a record", `echo '{"run": "one", "result": "failed"}'; echo "a story" >&2; exit 1`, time.Minute,
			labRun{Run: "one", Result: results.Failed, Reason: "expectation snat-capped [THR-1] failed: " +
				"with a deep queue snat stays below 96 Mbit/s: made up by a test: snat-capped did not hold <&>"},
		},
		{
			"no summary", `echo "a story"; echo "dsrlab: no space left" >&2; exit 3`, time.Minute,
			labRun{Reason: "run 02-throughput: exit status 3: dsrlab: no space left"},
		},
		{
			"no end", `trap 'echo "taken down" >&2; exit 1' TERM; while :; do sleep 0.01; done`, 100 * time.Millisecond,
			labRun{Reason: "run 02-throughput: did not end within 100ms: taken down"},
		},
		{
			"no folder", `echo '{"run": "two", "result": "passed"}'`, time.Minute,
			labRun{Run: "two", Result: results.Passed, Reason: "read run " + dir + "/two: stat manifest.json: no such file or directory"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := options{program: fakeProgram(t, test.script), runs: dir, timeout: test.timeout}
			one, record := o.runDisturbed(t.Context(), throughput(t), disturbance{name: "busy-1", loops: 1})
			test.want.Lab, test.want.Disturbance = "02-throughput", "busy-1"
			one.Seconds = 0
			assert.Equal(t, test.want, one)
			assert.Equal(t, test.want.Run == "one", record != nil)
		})
	}
}

// TestReport: two runs with a record and one without, in a table that fits and as JSON.
func TestReport(t *testing.T) {
	dir, lab := t.TempDir(), throughput(t)
	none, busy := disturbance{name: "none"}, disturbance{name: "busy-1", loops: 1}
	r := newReport(&options{labs: []*labs.Lab{lab}, disturbances: []disturbance{none, busy}})
	for seed, d := range []disturbance{none, busy} {
		record, err := results.Open(resultstest.Run(t, dir, resultstest.Options{Seed: uint64(seed)}))
		require.NoError(t, err)
		record.Manifest.Scale = []string{"1", "1/2"}[seed]
		if seed == 1 { // a machine that carries half has half
			for i := range record.Samples {
				if record.Samples[i].Metric == "payload_rate" {
					record.Samples[i].Value /= 2
				}
			}
		}
		r.add(lab, labRun{Run: record.Manifest.Run, Lab: lab.Metadata.Name, Disturbance: d.name, Result: results.Passed, Scale: record.Manifest.Scale}, record)
	}
	r.add(lab, labRun{Lab: lab.Metadata.Name, Disturbance: busy.name, Reason: "did not end"}, nil)
	r.summarize()

	var out bytes.Buffer
	r.write(&out)
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 100, line)
	}
	assert.Contains(t, out.String(), "02-throughput: 3 runs, 2 passed, 1 without a result; at scale 1 (1), 1/2 (1)\n")
	assert.Regexp(t, `  snat-deep +94\.\d+ to 94\.\d+ Mbit/s +70 to 96 +\d+\.\d( !)?  2/0/1\n`, out.String())
	assert.Regexp(t, `  snat-drops +- +≥ 1 +-  0/0/3\n`, out.String())
	assert.Contains(t, out.String(), "\nnone      1 of 1 runs passed; at scale 1 (1)\nbusy-1    1 of 2 runs passed; at scale 1/2 (1)\n")

	file := filepath.Join(t.TempDir(), "new", "robustness.json")
	require.NoError(t, r.save(file))
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var saved report
	require.NoError(t, json.Unmarshal(data, &saved))
	assert.Equal(t, machine{CPUs: 2, CPUModel: "Imaginary CPU", Kernel: "6.12.0-fabricated"}, saved.Machine)
	assert.Equal(t, results.Revision{Commit: "fabricated"}, saved.Revision)
	assert.Equal(t, 3, saved.Summary.Runs)
	assert.Equal(t, len(lab.Spec.Expectations), saved.Summary.Expectations)
	assert.Len(t, saved.Expectations, len(lab.Spec.Expectations))
	require.NotNil(t, saved.Summary.Tightest)
	assert.Equal(t, []disturbanceTotals{
		{Name: "none", Runs: 1, Passed: 1, Scales: map[string]int{"1": 1}},
		{Name: "busy-1", Loops: 1, Runs: 2, Passed: 1, Scales: map[string]int{"1/2": 1}},
	}, saved.Summary.Disturbances)
}

func TestExitCode(t *testing.T) {
	roomy, tight := expectationOf(number(0), nil, 10, 11), expectationOf(number(9.9), nil, 10, 11)
	broken, never := expectationOf(number(5), nil, 10, 10), expectationOf(number(5), nil)
	broken.count(results.Broken, value{Value: 4})
	for _, test := range []struct {
		name         string
		result       results.Result
		expectations []*expectation
		want         int
	}{
		{"room", results.Passed, []*expectation{roomy}, exitRoom},
		{"too little", results.Untested, []*expectation{tight, never, roomy}, exitTight},
		{"broken once", results.Failed, []*expectation{roomy, broken}, exitTight},
		{"not measured", results.Untested, []*expectation{never, roomy}, exitNotMeasured},
		{"no result", "", []*expectation{roomy}, exitNotMeasured},
		{"lacks something", results.Unsupported, []*expectation{never, roomy}, exitRoom},
	} {
		r := &report{Runs: []labRun{{Result: test.result}}, Expectations: test.expectations}
		r.summarize()
		assert.Equal(t, test.want, r.exitCode(), test.name)
	}
}

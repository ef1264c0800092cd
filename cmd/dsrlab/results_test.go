package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

// runResults runs one command line of dsrlab results, as run does.
func runResults(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	s := streams{in: strings.NewReader(""), out: &out, err: &errs}
	root := newRootCommand(s)
	if command, _, err := root.Find([]string{"results"}); err != nil || command == root {
		root.AddCommand(newResultsCommand(s))
	}
	root.SetArgs(append([]string{"results"}, args...))
	if err := root.ExecuteContext(t.Context()); err != nil {
		var exit *exitError
		if !errors.As(err, &exit) {
			exit = &exitError{exitFailed, err}
		}
		return out.String(), errs.String() + exit.Error(), exit.code
	}
	return out.String(), errs.String(), exitOK
}

func hour(h int) time.Time { return time.Date(2001, 2, 3, h, 0, 0, 0, time.UTC) }

func fabricatedRuns(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	resultstest.Run(t, dir, resultstest.Options{Run: "one", Start: hour(1), Seed: 1})
	resultstest.Run(t, dir, resultstest.Options{Run: "two", Start: hour(2), Seed: 2, Scale: 0.8, Break: "dsr-full"})
	resultstest.Run(t, dir, resultstest.Options{Run: "three", Start: hour(3), Seed: 3, LeaveOpen: true})
	require.NoError(t, os.Mkdir(filepath.Join(dir, "zero"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "zero", "manifest.json"), []byte("{"), 0o644))
	return dir
}

func TestResultsList(t *testing.T) {
	dir := fabricatedRuns(t)
	stdout, _, code := runResults(t, "list", "--runs", dir)
	require.Equal(t, exitOK, code)
	for _, line := range []string{
		"one    netns  5m31s       passed      2/2     here",
		"two    netns  5m31s       failed      1/2     here",
		"three  netns  unfinished  untested    2/2     here",
	} {
		assert.Contains(t, squeezed(stdout), squeezed(line))
	}
	assert.Contains(t, stdout, "zero")
	assert.Contains(t, stdout, "unreadable")

	var listed []listedRun
	stdout, _, code = runResults(t, "list", "--runs", dir, "-o", "json")
	require.Equal(t, exitOK, code)
	require.NoError(t, json.Unmarshal([]byte(stdout), &listed))
	byName := map[string]listedRun{}
	for _, l := range listed {
		byName[l.Run] = l
	}
	assert.Equal(t, listedRun{
		Run: "one", Lab: "02-throughput", Substrate: "netns", Started: hour(1), Seconds: 331, State: results.Finished, Result: results.Passed,
		Reproduced: 2, Claims: 2, Valid: 323, Samples: 324,
	}, byName["one"])
	assert.Contains(t, byName["zero"].Error, "manifest.json: unexpected end of JSON input")

	t.Chdir(t.TempDir()) // without a folder of runs yet
	stdout, _, code = runResults(t, "list", "-o", "json")
	assert.Equal(t, exitOK, code)
	require.NoError(t, json.Unmarshal([]byte(stdout), &listed), "an empty list is a list")
}

// squeezed makes runs of blanks one.
func squeezed(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }), " ")
}

func TestResultsShow(t *testing.T) {
	dir := fabricatedRuns(t)
	stdout, _, code := runResults(t, "show", "one", "--runs", dir, "--check")
	require.Equal(t, exitOK, code)
	for _, want := range []string{
		"one: passed\n", "lab 02-throughput on netns, topology talk", "THR-2 reproduced", "made up by a test: dsr-full held",
		"payload_rate dsr 938.8 Mbit/s", "source_preserved snat protocol=udp 0 % 0 to 0 9/9",
		"payload_rate kube-proxy 4 link calibration off by 7.1 %",
	} {
		assert.Contains(t, squeezed(stdout), want)
	}

	written, err := os.ReadFile(filepath.Join(dir, "one", "summary.json"))
	require.NoError(t, err)
	stdout, _, code = runResults(t, "show", "one", "--runs", dir, "-o", "json")
	require.Equal(t, exitOK, code)
	assert.Equal(t, string(written), stdout, "what is shown is the summary that the run wrote")
	stdout, _, code = runResults(t, "show", "one", "--runs", dir, "-o", "yaml")
	require.Equal(t, exitOK, code)
	fromYAML, err := yaml.YAMLToJSON([]byte(stdout))
	require.NoError(t, err)
	assert.JSONEq(t, string(written), string(fromYAML))
}

func TestResultsExitCodes(t *testing.T) {
	dir := fabricatedRuns(t)
	resultstest.Run(t, dir, resultstest.Options{Run: "lacking", Start: hour(4), Reported: results.Unsupported, Reason: "no netem"})
	tests := []struct {
		args []string
		code int
		want string
	}{
		{[]string{"show", "two", "--check"}, exitFailed, "02-throughput: failed: expectation dsr-full [THR-2] failed: "},
		{[]string{"show", "two"}, exitOK, ""},
		{[]string{"show", "three", "--check"}, exitUntested, "02-throughput: untested, which is not passed: the run is unfinished"},
		{[]string{"show", "lacking", "--check"}, exitUnsupported, "02-throughput: this machine lacks something: no netem"},
		{[]string{"show", "nope"}, exitUsage, `find run "nope": none in ` + dir + " has this id"},
		{[]string{"show", "zero"}, exitUsage, "manifest.json: unexpected end of JSON input"},
		{[]string{"show"}, exitUsage, "found no argument (want `dsrlab results show RUN`)"},
		{[]string{"show", "one", "-o", "xml"}, exitUsage, `--output: unknown format "xml" (want table, json or yaml)`},
		{[]string{"compare", "one"}, exitUsage, "found one argument (want `dsrlab results compare A B | LAB --across SUBSTRATE,SUBSTRATE`)"},
		{[]string{"compare", "one", "two", "--across", "netns,kind"}, exitUsage, "found 2 arguments (want `dsrlab results compare A B | LAB --across SUBSTRATE,SUBSTRATE`)"},
		{[]string{"compare", "02-throughput", "--across", "netns,docker"}, exitUsage, `--across: unknown substrate "docker" (want netns or kind)`},
		{[]string{"compare", "02-throughput", "--across", "kind,kind"}, exitUsage, "--across: kind,kind: want two different substrates, as in netns,kind"},
		{[]string{"compare", "03-local-policy", "--across", "netns,kind"}, exitUsage,
			"find run of 03-local-policy on kind: none in " + dir + " came to its end; make one with: dsrlab lab run 03-local-policy --substrate kind"},
		{[]string{"compare", "one", "two", "--effect", "1.5"}, exitUsage, "--effect: found 1.5 (want more than 0 and less than 1)"},
		{[]string{"report", "one", "--format", "pdf"}, exitUsage, `--format: unknown format "pdf" (want markdown, html, slides, svg, png, csv or junit)`},
		{[]string{"report", "one", "two"}, exitUsage, "format markdown takes one run, got 2"},
		{[]string{"report", "one", "--format", "svg", "--theme", "pink"}, exitUsage, `--theme: unknown theme "pink" (want light or dark, or auto for svg)`},
		{[]string{"report", "one", "--format", "svg", "--chart", "x"}, exitUsage,
			`--chart: unknown chart "x" (want rate, queue, payload_rate, payload_rate-by-queue, retransmits, lb_port_bytes_reply or source_preserved)`},
		{[]string{"report"}, exitUsage, "found no argument (want `dsrlab results report RUN... | --all`)"},
		{[]string{"report", "one", "--all"}, exitUsage, "found one argument (want `dsrlab results report RUN... | --all`)"},
		{[]string{"report", "--all", "--format", "svg"}, exitUsage, "--format: svg is of one run (want markdown, html or slides with --all)"},
		{[]string{"list", "--nope"}, exitUsage, "unknown flag: --nope"},
		{[]string{"claims", "x"}, exitUsage, `unknown command "x" for "dsrlab results claims"`},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			_, stderr, code := runResults(t, append(test.args, "--runs", dir)...)
			assert.Equal(t, test.code, code)
			assert.Contains(t, stderr, test.want)
		})
	}
}

func TestResultsCompare(t *testing.T) {
	dir := fabricatedRuns(t)
	stdout, _, code := runResults(t, "compare", "one", "two", "--runs", dir)
	require.Equal(t, exitOK, code)
	assert.Contains(t, squeezed(stdout), "THR-2 reproduced differs")
	assert.Regexp(t, `payload_rate +none +9[34]\S+ Mbit/s +9[34]\S+ Mbit/s +no difference `, stdout)
	assert.Regexp(t, `payload_rate +dsr +93\S+ Mbit/s +75\S+ Mbit/s +worse: -\d`, stdout)
	assert.Contains(t, squeezed(stdout), "worse: 1, no difference shown: ")
	assert.NotContains(t, stdout, "same conditions")

	var small, large results.Comparison
	for effect, comparison := range map[string]*results.Comparison{"0.01": &small, "0.3": &large} {
		stdout, _, code = runResults(t, "compare", "one", "two", "--runs", dir, "-o", "json", "--effect", effect)
		require.Equal(t, exitOK, code)
		require.NoError(t, json.Unmarshal([]byte(stdout), comparison))
	}
	for i, m := range large.Metrics {
		if m.Metric == "payload_rate" && m.Variant == "dsr" {
			assert.Positive(t, m.SamplesNeeded)
			assert.GreaterOrEqual(t, small.Metrics[i].SamplesNeeded, m.SamplesNeeded, "a smaller difference takes more")
		}
	}
}

func TestResultsCompareAcross(t *testing.T) {
	dir := fabricatedRuns(t)
	resultstest.Run(t, dir, resultstest.Options{Run: "cluster", Start: hour(4), Seed: 4, Substrate: "kind", Break: "dsr-full"})
	for _, args := range [][]string{{"02-throughput", "--across", "netns,kind"}, {"two", "cluster"}} {
		stdout, stderr, code := runResults(t, append([]string{"compare", "--runs", dir}, args...)...)
		require.Equal(t, exitOK, code, stderr)
		assert.True(t, strings.HasPrefix(stdout, "parity: 2 of 2 claims have the same verdict on netns and on kind; 4 of 4 expectations agree\n"))
		for _, want := range []string{
			"A two, on netns\nB cluster, on kind\n", "THR-2 differs differs yes", "CONF-1 – reproduced only on kind",
			"dsr-full failed failed yes dsr reaches 0.99", "conf-kind – held only on kind the cluster",
		} {
			assert.Contains(t, squeezed(stdout), want)
		}
		assert.Regexp(t, `CONDITION +A +B *\nsubstrate +netns +kind`, stdout)
		assert.Regexp(t, `payload_rate +dsr +75\S+ Mbit/s +9\d+\S+ Mbit/s +better: \+\d`, stdout)
	}

	for _, format := range []string{"json", "yaml"} {
		stdout, stderr, code := runResults(t, "compare", "one", "cluster", "--runs", dir, "-o", format)
		assert.Equal(t, exitFailed, code)
		assert.Equal(t, "02-throughput: not the same on netns and on kind: THR-2, dsr-full", stderr)
		var comparison results.Comparison
		require.NoError(t, yaml.Unmarshal([]byte(stdout), &comparison), "YAML holds JSON")
		assert.False(t, comparison.Parity.Holds)
		assert.Equal(t, []string{"THR-2", "dsr-full"}, comparison.Parity.Differing)
		assert.Len(t, comparison.Parity.Expectations, 5)
	}
}

func TestResultsReport(t *testing.T) {
	dir := fabricatedRuns(t)
	for format, begins := range map[string]string{
		"markdown": "# One gigabit through a 100 Mbit/s node: passed", "html": "<!DOCTYPE html>", "svg": "<?xml", "png": "\x89PNG", "csv": "run,lab,", "junit": "<?xml",
	} {
		file := filepath.Join(t.TempDir(), "report")
		direct, _, code := runResults(t, "report", "one", "--runs", dir, "--format", format)
		require.Equal(t, exitOK, code, format)
		stdout, _, code := runResults(t, "report", "one", "--runs", dir, "--format", format, "-w", file)
		require.Equal(t, exitOK, code, format)
		assert.Empty(t, stdout)
		written, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, direct, string(written), format)
		assert.True(t, strings.HasPrefix(direct, begins), format)
	}
	stdout, _, code := runResults(t, "report", "one", "two", "--runs", dir, "--format", "junit")
	require.Equal(t, exitOK, code)
	assert.Equal(t, 2, strings.Count(stdout, "<testsuite "))
	stdout, _, code = runResults(t, "report", "one", "--runs", dir, "--format", "svg", "--chart", "payload_rate-by-queue", "--theme", "dark")
	require.Equal(t, exitOK, code)
	assert.Contains(t, stdout, "payload rate (Mbit/s) by queue")

	file := filepath.Join(dir, "no", "such", "folder")
	_, stderr, code := runResults(t, "report", "one", "--runs", dir, "-w", file)
	assert.Equal(t, exitUsage, code)
	assert.Equal(t, fmt.Sprintf("--write: there is no folder %s to write folder in", filepath.Dir(file)), stderr)
}

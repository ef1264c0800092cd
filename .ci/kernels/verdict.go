package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/dsrlab/dsrlab/.ci/kernels/guest"
)

// event is a line of `go tool test2json` (go doc test2json).
type event struct {
	Action string // run, pass, fail, skip, output and others
	Test   string // empty: the whole binary
	Output string
}

// finding is something to tell about a test.
type finding struct {
	test string // empty: the machine as a whole
	what string
	text string // what the test said
}

// verdict is what became of a kernel.
type verdict struct {
	release  string
	passed   int
	failures []finding
	skipped  []finding // because the kernel is older than what they test, or the machine slower
	demo     string    // how many claims it reproduced, and at which scale; empty: it was not run to its end
}

// add judges one package's tests. Every test passes, or names a Linux version newer than the running one as its reason to
// be skipped.
func (v *verdict) add(run guest.Run, events []event) {
	var names []string
	ends, output := map[string]string{}, map[string]string{}
	for _, e := range events {
		switch e.Action {
		case "run":
			names = append(names, e.Test)
		case "pass", "fail", "skip":
			ends[e.Test] = e.Action
		case "output":
			output[e.Test] += e.Output
		}
	}
	failures := len(v.failures)
	fail := func(test, what string) {
		v.failures = append(v.failures, finding{strings.TrimSuffix(run.Package+"."+test, "."), what, trim(output[test])})
	}
	for _, name := range names {
		switch ends[name] {
		case "pass":
			v.passed++
		case "skip":
			if err := maySkip(v.release, output[name]); err != nil {
				fail(name, err.Error())
			} else {
				v.skipped = append(v.skipped, finding{test: run.Package + "." + name, what: "skipped", text: trim(output[name])})
			}
		case "fail":
			if trim(output[name]) != "" || !failedBelow(name, ends) {
				fail(name, "failed")
			}
		default:
			fail(name, "did not end")
		}
	}
	switch {
	case len(names) == 0:
		fail("", "ran no test")
	case !run.Ended && failures == len(v.failures):
		fail("", "did not end")
	case run.Status != 0 && failures == len(v.failures):
		fail("", fmt.Sprintf("exit status %d", run.Status))
	}
}

// failedBelow reports whether a subtest failed: then the test did, too, and has nothing to add.
func failedBelow(name string, ends map[string]string) bool {
	for other, end := range ends {
		if end == "fail" && strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}

// trim leaves what a test itself said.
func trim(output string) string {
	var kept []string
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "=== ") && !strings.HasPrefix(text, "--- ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

var (
	neededRelease = regexp.MustCompile(`needs Linux (\d+)\.(\d+)\b`)
	anyRelease    = regexp.MustCompile(`^(\d+)\.(\d+)`)
)

// maySkip says why a test must not be skipped on a kernel, if so.
func maySkip(release, output string) error {
	needed, running := neededRelease.FindStringSubmatch(output), anyRelease.FindStringSubmatch(release)
	switch {
	case needed == nil:
		return errors.New(`skipped without a reason that holds for a kernel: want "needs Linux 6.6: …"`)
	case running == nil:
		return fmt.Errorf("skipped on a kernel of unknown version %q", release)
	case !older(running[1:], needed[1:]):
		return fmt.Errorf("skipped, but this is Linux %s", running[0])
	}
	return nil
}

// older compares the numbers of two releases.
func older(a, b []string) bool {
	for i := range a {
		x, _ := strconv.Atoi(a[i]) // digits, by the pattern
		y, _ := strconv.Atoi(b[i])
		if x != y {
			return x < y
		}
	}
	return false
}

// judge reads what a machine said, given what turns the output of a test binary into a stream of events.
func judge(c console, events func(output []byte) ([]byte, error)) (verdict, error) {
	transcript, err := guest.Parse(c.port)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{release: transcript.Release}
	for _, run := range transcript.Runs {
		if run.Package == demoName {
			v.addDemo(run)
			continue
		}
		stream, err := events(run.Output)
		if err != nil {
			return v, err
		}
		all, err := parseEvents(stream)
		if err != nil {
			return v, err
		}
		v.add(run, all)
	}
	problem := transcript.Error
	switch {
	case problem != "":
	case c.problem != "":
		problem = c.problem
	case len(transcript.Runs) == 0:
		problem = "no test began"
	case !transcript.Runs[len(transcript.Runs)-1].Ended:
		problem = "the machine ended before its tests did"
	}
	if problem != "" {
		v.failures = append(v.failures, finding{what: problem, text: lastLines(c.kernel, 60)})
	}
	return v, nil
}

func parseEvents(stream []byte) ([]event, error) {
	var all []event
	for decoder := json.NewDecoder(bytes.NewReader(stream)); ; {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("parse output of test2json: %w", err)
		}
		all = append(all, e)
	}
}

func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(text), "\r", "")), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stoppedLab measures one download, which is longer than a stop and the time to the next one.
const stoppedLab = `apiVersion: dsrlab.dev/v1alpha1
kind: Lab
metadata: {name: 90-stopped, title: A lab that is stopped while it measures}
spec:
  question: Does what was measured meanwhile count?
  topology: talk
  seed: 1
  variants:
  - {name: dsr, dataPath: dsrlab, mode: dsr}
  phases:
  - name: download
    narration: The client downloads, and the lab is stopped again and again.
    steps:
    - transfer: {from: client, to: {service: tcp-echo, port: bulk}, direction: download, time: 2s}
  expectations:
  - {id: any, text: something was downloaded, variant: dsr, metric: payload_rate, atLeast: 1}
`

const (
	stopFor  = 600 * time.Millisecond
	stopNext = 400 * time.Millisecond
)

// labStopped stops a lab again and again from its first trial on, while the testbed serves.
func labStopped(ctx context.Context, c *chaos, t *traffic) (bound int, err error) {
	t.open(ctx, openers)
	dir := filepath.Join(c.options.dir, "stopped")
	runs, state := filepath.Join(dir, "runs"), c.options.state("stopped")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(dir, "lab.yaml"), []byte(stoppedLab), 0o600); err != nil {
		return 0, err
	}
	var summary, story bytes.Buffer
	cmd := exec.CommandContext(ctx, c.options.program, "lab", "run", dir, "--scale", "1", "--runs", runs, "--state-dir", state, "--output", "json")
	cmd.Stdout, cmd.Stderr = &summary, &story
	ended, err := begin(cmd)
	if err != nil {
		return 0, err
	}
	stops := stopAgain(cmd.Process.Pid, ended, func() bool {
		files, _ := filepath.Glob(filepath.Join(runs, "*", "events.jsonl")) // the pattern is valid
		return len(files) > 0 && hasBegun(files[0])
	})
	files, err := filepath.Glob(filepath.Join(runs, "*", "samples.jsonl"))
	if err != nil || len(files) == 0 {
		return 0, errors.Join(err, ctx.Err(), fmt.Errorf("the lab recorded nothing: %s", lastLine(story.String())))
	}
	samples, err := os.ReadFile(files[0])
	if err != nil {
		return 0, err
	}
	if err := checkStopped(samples, summary.Bytes(), cmd.ProcessState.ExitCode()); err != nil {
		c.wrong("%v", err)
	}
	if left, err := leftIn(state); err != nil || len(left) > 0 {
		return 0, errors.Join(err, fmt.Errorf("a lab that was stopped left testbeds: %q", left))
	}
	c.detail = fmt.Sprintf(" (%d stops of %s)", stops, stopFor)
	return 0, nil
}

// stopAgain stops a process and continues it, as long as it runs. It returns how often.
func stopAgain(pid int, ended <-chan struct{}, begun func() bool) (stops int) {
	pause := func(d time.Duration) (done bool) {
		select {
		case <-ended:
			return true
		case <-time.After(d):
			return false
		}
	}
	for !begun() {
		if pause(10 * time.Millisecond) {
			return 0
		}
	}
	for {
		kill(pid, syscall.SIGSTOP)
		done := pause(stopFor)
		kill(pid, syscall.SIGCONT)
		if done || pause(stopNext) {
			return stops
		}
		stops++
	}
}

// hasBegun reports whether a run's events have a trial's beginning.
func hasBegun(file string) bool {
	events, err := os.ReadFile(file)
	return err == nil && bytes.Contains(events, []byte(`"kind":"step"`))
}

// checkStopped returns an error unless the download's samples are invalid, and count for nothing in the run's summary.
func checkStopped(samples, summary []byte, code int) error {
	const metric, untested = "payload_rate", 4
	valid, invalid := 0, 0
	for line := range bytes.Lines(samples) {
		var s struct{ Metric, Reason string }
		if err := json.Unmarshal(line, &s); err != nil {
			return fmt.Errorf("a sample of the lab can't be read: %w", err)
		}
		switch {
		case s.Metric != metric:
		case s.Reason == "":
			valid++
		default:
			invalid++
		}
	}
	if invalid == 0 || valid > 0 {
		return fmt.Errorf("the lab was stopped in each of its downloads, and takes %d of %d for valid", valid, valid+invalid)
	}
	var s struct {
		Result  string
		Metrics []struct {
			Metric string
			Valid  int
		}
	}
	if err := json.Unmarshal(summary, &s); err != nil {
		return fmt.Errorf("the lab's summary can't be read: %w", err)
	}
	for _, m := range s.Metrics {
		if m.Metric == metric && m.Valid > 0 {
			return fmt.Errorf("the lab counts %d downloads, all of which are invalid; its result is %s", m.Valid, s.Result)
		}
	}
	if s.Result != "untested" || code != untested {
		return fmt.Errorf("the lab has no valid download, and ends %s with exit status %d (want untested and %d)", s.Result, code, untested)
	}
	return nil
}

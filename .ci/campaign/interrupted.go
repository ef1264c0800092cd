package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// interruptedLab is a lab whose runs are interrupted.
const interruptedLab = "06-dsr-packet-walk"

// interruptRuns interrupts and kills runs of a lab, and looks whether verdicts and reports rest on them.
func (c *crash) interruptRuns(ctx context.Context) error {
	runs := filepath.Join(c.dir, "interrupted")
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		c.history = append(c.history, fmt.Sprintf("%v to `dsrlab lab run %s`", signal, interruptedLab))
		if err := c.interruptRun(ctx, runs, signal); err != nil {
			return err
		}
	}
	known, err := runsIn(runs)
	if err != nil {
		return err
	}
	c.interrupted = len(known)
	chosen := make(map[string]bool)
	for _, args := range [][]string{
		{"results", "claims", "--output", "json"}, {"results", "report", interruptedLab}, {"results", "report", "--all"},
	} {
		out, err := exec.CommandContext(ctx, c.program, append(args, "--runs", runs)...).Output()
		if err != nil {
			c.report.problem("`dsrlab %s`: %v", strings.Join(args, " "), err)
		}
		for _, id := range namedIn(string(out), known) {
			chosen[id] = true
			c.report.problem("`dsrlab %s` rests on run %s, which was interrupted", strings.Join(args, " "), id)
		}
	}
	c.interruptedFailures = len(chosen)
	return nil
}

// interruptRun begins a run, and sends it a signal as soon as it has its folder.
func (c *crash) interruptRun(ctx context.Context, runs string, signal syscall.Signal) error {
	before, err := runsIn(runs)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, c.program, "lab", "run", interruptedLab, "--runs", runs, "--state-dir", c.state)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ended, err := begin(cmd)
	if err != nil {
		return err
	}
	for begun := false; !begun; wait(ctx, time.Millisecond) {
		select {
		case <-ended:
			return fmt.Errorf("`dsrlab lab run %s` ended before it was interrupted: %v", interruptedLab, cmd.ProcessState)
		default:
		}
		now, err := runsIn(runs)
		if err != nil {
			return err
		}
		begun = len(now) > len(before)
	}
	kill(cmd.Process.Pid, signal)
	select {
	case <-ended:
	case <-time.After(endWithin):
		kill(cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || status.Exited() && status.ExitStatus() != 128+int(signal) {
		return errors.Join(ctx.Err(), fmt.Errorf("`dsrlab lab run %s` after %v: %v", interruptedLab, signal, cmd.ProcessState))
	}
	return nil
}

// runsIn are the ids of the runs in a folder.
func runsIn(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "manifest.json"))
	var ids []string
	for _, file := range files {
		ids = append(ids, filepath.Base(filepath.Dir(file)))
	}
	return ids, err
}

// namedIn are the ids that a text has.
func namedIn(text string, ids []string) []string {
	var named []string
	for _, id := range ids {
		if strings.Contains(text, id) {
			named = append(named, id)
		}
	}
	return named
}

func (c *crash) interruptedOutcome() outcome {
	return outcome{
		Case: "runs of labs that were interrupted or killed", Tried: c.interrupted, Unit: "runs", Failed: c.interruptedFailures,
		Seen: "claims and reports rest on finished runs", Why: "a run is only chosen if its record was closed after its last trial",
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
)

// labRun is one run of a lab under a disturbance.
type labRun struct {
	// Run is its id; empty if it came to no record.
	Run         string         `json:"run,omitempty"`
	Lab         string         `json:"lab"`
	Disturbance string         `json:"disturbance"`
	Result      results.Result `json:"result,omitempty"`
	// Scale is the part of its rates that the run's links had, as in 1/2.
	Scale   string  `json:"scale,omitempty"`
	Seconds float64 `json:"seconds"`
	// Reason is why it did not pass.
	Reason string `json:"reason,omitempty"`
}

// interruptGrace is how long an interrupted lab may take to remove its network.
const interruptGrace = time.Minute

// runAll runs all labs under all disturbances, in turns: what changes on the machine over hours meets all of them alike. With an error the
// report has what was found out before, or is nil if that is nothing.
func (o *options) runAll(ctx context.Context, progress io.Writer) (*report, error) {
	if _, err := os.Stat(o.program); err != nil {
		return nil, fmt.Errorf("find the program that runs labs: %w; `make build` makes it", err)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("running labs needs root (try sudo)")
	}
	if err := os.MkdirAll(o.runs, 0o755); err != nil {
		return nil, err
	}
	r := newReport(o)
	defer r.summarize()
	total := o.repetitions * len(o.disturbances) * len(o.labs)
	for range o.repetitions {
		for _, d := range o.disturbances {
			for _, lab := range o.labs {
				one, record := o.runDisturbed(ctx, lab, d)
				if err := ctx.Err(); err != nil {
					return r, fmt.Errorf("interrupted in run %d of %d", len(r.Runs)+1, total)
				}
				r.add(lab, one, record)
				fmt.Fprintf(progress, "%d of %d: %s under %s: %s\n", len(r.Runs), total, one.Lab, d.name, one.describe())
			}
		}
	}
	return r, nil
}

// runDisturbed runs a lab beside busy loops, if the disturbance has any. The record is nil if there is none.
func (o *options) runDisturbed(ctx context.Context, lab *labs.Lab, d disturbance) (labRun, *results.Run) {
	one := labRun{Lab: lab.Metadata.Name, Disturbance: d.name}
	if d.loops > 0 {
		defer spin(d.loops)()
	}
	began := time.Now()
	summary, err := o.execute(ctx, lab, d)
	one.Seconds = time.Since(began).Round(time.Second / 10).Seconds()
	if err != nil {
		one.Reason = err.Error()
		return one, nil
	}
	one.Run, one.Result = summary.Run, summary.Result
	record, err := results.Open(filepath.Join(o.runs, summary.Run))
	if err != nil {
		one.Reason = err.Error()
		return one, nil
	}
	one.Scale = record.Manifest.Scale
	one.Reason = firstOf(results.Verdicts(record).Reasons)
	return one, record
}

// firstOf is the first reason, which the others mostly follow from, and how many there are.
func firstOf(reasons []string) string {
	if len(reasons) < 2 {
		return strings.Join(reasons, "")
	}
	return fmt.Sprintf("%s; and %d more", reasons[0], len(reasons)-1)
}

// execute runs a lab once and returns the summary that it prints. A lab that doesn't pass is no error.
func (o *options) execute(ctx context.Context, lab *labs.Lab, d disturbance) (results.Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.program, "lab", "run", lab.Metadata.Name, "--runs", o.runs, "-o", "json")
	var out, story bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &story
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it removes its network
	cmd.WaitDelay = interruptGrace
	err := d.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	var summary results.Summary
	if decodeErr := json.Unmarshal(out.Bytes(), &summary); decodeErr == nil && summary.Run != "" {
		return summary, nil // the exit code says the same as its result
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("did not end within %s", o.timeout)
	}
	if err == nil {
		err = errors.New("printed no summary")
	}
	return summary, fmt.Errorf("run %s: %w: %s", lab.Metadata.Name, err, lastLine(story.String()))
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// describe is the outcome for people.
func (r labRun) describe() string {
	if r.Result == "" {
		return "no result: " + r.Reason
	}
	s := fmt.Sprintf("%s in %.0f s", r.Result, r.Seconds)
	if r.Scale != "" {
		s += " at scale " + r.Scale
	}
	if r.Reason != "" {
		s += ": " + r.Reason
	}
	return s
}

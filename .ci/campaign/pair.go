package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// pair is two commands on one testbed that are started at once, as from two terminals.
type pair struct {
	first, second []string
	// within is how much later than the first one the second one begins at most.
	within time.Duration
	// testbed is what both are about. stands: it must be there afterwards; ends: it must not.
	testbed      string
	stands, ends bool
}

// pairs are those of one round. What one of them leaves is what the next one finds.
func pairs(runs, state string) []pair {
	const name = "pair"
	in := func(args ...string) []string { return append(args, "--state-dir", state) }
	bed := func(args ...string) []string { return in(append(args, "--name", name)...) }
	lab := func(name string) []string { return in("lab", "run", name, "--runs", runs) }
	up, down := bed("up", "-f", "talk", "--mode", "dsr"), bed("down")
	return []pair{
		{first: up, second: bed("up", "-f", "talk", "--mode", "snat"), testbed: name, stands: true},
		{first: down, second: down, testbed: name, ends: true},
		{first: up, second: down, within: 1500 * time.Millisecond, testbed: name},
		{first: lab("06-dsr-packet-walk"), second: lab("01-source-ip"), within: time.Second, testbed: "lab-source-ip", ends: true},
	}
}

// end is how a command ended.
type end struct {
	pid, code int
	said      string
}

// startPair starts the commands of the next pair, without any signal, and judges how they ended and what they left.
func (c *crash) startPair(ctx context.Context) {
	all := pairs(c.runs(), c.state)
	p := all[c.pairs%len(all)]
	c.pairs++
	delay := time.Duration(0)
	if p.within > 0 {
		delay = time.Duration(c.pairRandom.Int64N(int64(p.within)))
	}
	what := fmt.Sprintf("`dsrlab %s`, and %s later `dsrlab %s`", strings.Join(p.first, " "), delay.Round(time.Millisecond), strings.Join(p.second, " "))
	c.history = append(c.history, what)
	if err := c.judgePair(ctx, p, delay); err != nil && ctx.Err() == nil {
		c.pairFailures++
		c.report.problem("%s: %v", what, err)
		c.say("crash: %s: %v", what, err)
	}
}

func (c *crash) judgePair(ctx context.Context, p pair, delay time.Duration) error {
	first, second := make(chan end, 1), make(chan end, 1)
	go func() { first <- c.runToEnd(ctx, p.first) }()
	wait(ctx, delay)
	go func() { second <- c.runToEnd(ctx, p.second) }()
	if err := checkPair(<-first, <-second); err != nil {
		return err
	}
	left, err := leftIn(c.state)
	if err != nil {
		return err
	}
	there := slices.Contains(left, p.testbed)
	switch {
	case p.stands && !there:
		return fmt.Errorf("the testbed %s is not there", p.testbed)
	case p.ends && there:
		return fmt.Errorf("the testbed %s is there still", p.testbed)
	case !there:
		return nil
	}
	request := c.runToEnd(ctx, []string{"trace", "client", "185.150.8.128:8080", "--timeout", "10s", "--name", p.testbed, "--state-dir", c.state})
	if request.code != 0 {
		return fmt.Errorf("the testbed %s is there, but does not serve: %s", p.testbed, lastLine(request.said))
	}
	return nil
}

// checkPair returns an error unless each command was done, or was refused because the other one was at work.
func checkPair(a, b end) error {
	const (
		done, refused = 0, 2
		untested      = 4 // of a lab: the machine disturbed it
	)
	var errs []error
	for _, e := range []struct{ one, other end }{{a, b}, {b, a}} {
		switch e.one.code {
		case done, untested:
		case refused:
			// Who has ended since can't be named any more.
			if !strings.Contains(e.one.said, fmt.Sprintf("(process %d, ", e.other.pid)) && !strings.Contains(e.one.said, "in use by another process") {
				errs = append(errs, fmt.Errorf("one was refused, but not told of process %d: %s", e.other.pid, lastLine(e.one.said)))
			}
		default:
			errs = append(errs, fmt.Errorf("one ended with exit status %d (want 0, or 2 and who is at work): %s", e.one.code, lastLine(e.one.said)))
		}
	}
	if a.code == refused && b.code == refused {
		errs = append(errs, errors.New("both were refused"))
	}
	return errors.Join(errs...)
}

// runToEnd runs a command. One that does not end counts as killed.
func (c *crash) runToEnd(ctx context.Context, args []string) end {
	ctx, cancel := context.WithTimeout(ctx, 3*endWithin)
	defer cancel()
	var said strings.Builder
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Dir, cmd.Stderr = c.dir, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // what it started may hold its standard error
	if err := cmd.Start(); err != nil {
		return end{code: -1, said: err.Error()}
	}
	_ = cmd.Wait() // its state says how it ended
	return end{pid: cmd.Process.Pid, code: cmd.ProcessState.ExitCode(), said: said.String()}
}

func (c *crash) pairOutcome() outcome {
	return outcome{
		Case: "two commands at once on one testbed", Tried: c.pairs, Unit: "pairs", Failed: c.pairFailures,
		Seen: "one is told who is at work and exits with 2, or both are done one after the other; the testbed serves, or is not there",
		Why:  "a testbed is locked while a command builds, uses or removes it",
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dsrlab/dsrlab/topologies/netns/hoststate"
)

const (
	// endWithin bounds how long a command may take to end after a signal, down after any, and the kernel to remove what is no longer held.
	endWithin = time.Minute
	// checkEvery is after how many signals the host is compared.
	checkEvery = 10
)

// crash is a campaign of signals.
type crash struct {
	*options
	report   *report
	commands []command
	state    string
	before   string // the host, with the bystander on it
	checks   int
	unclean  int
	slowest  time.Duration
	slow     string         // which took that long
	rounds   map[string]int // by signal
	failures map[string]int
	history  []string // since the host was last compared

	foreign                          *foreign
	foreignFailures                  int
	pairRandom                       *rand.Rand // of its own, so that pairs don't change which signals a seed sends
	pairs, pairFailures              int
	known                            []string // namespaces and mounts that need no journal
	looks, unlisted                  int
	interrupted, interruptedFailures int
}

// runs is the folder that labs record in.
func (c *crash) runs() string { return filepath.Join(c.dir, "runs") }

// runCrash sends signals to commands, each at a random time of its work.
func runCrash(ctx context.Context, o *options, r *report) (err error) {
	host, err := hoststate.State()
	if err != nil {
		return err
	}
	s, err := newTarget(ctx, o, "bystander")
	if err != nil {
		return err
	}
	t, err := s.traffic(ctx, 4, 1)
	if err != nil {
		return errors.Join(err, s.down())
	}
	c := &crash{options: o, report: r, state: o.state("crash"), rounds: make(map[string]int), failures: make(map[string]int)}
	c.pairRandom = rand.New(rand.NewPCG(o.seed, 1))
	c.commands = commands(o.dir, c.state)
	err = c.attackAll(ctx)
	if err == nil {
		err = t.settle(ctx)
	}
	tried, failed, reasons := t.stop()
	c.addCases()
	r.add(outcome{
		Case: "a testbed that serves meanwhile", Tried: tried, Unit: "connections", Failed: failed,
		Seen: fmt.Sprintf("nothing: %d exchanges, each answer checked", t.exchanges.Load()), Why: "testbeds share nothing",
	})
	for _, reason := range reasons {
		r.problem("the bystander: %s", reason)
	}
	if err := errors.Join(err, s.down()); err != nil {
		return err
	}
	if diff, err := differs(ctx, host); err != nil || diff != "" {
		r.problem("the host is not as it was before: %s", diff)
		return err
	}
	return nil
}

func (c *crash) attackAll(ctx context.Context) (err error) {
	if c.foreign, err = makeForeign(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.foreign.remove()) }()
	if c.before, err = hoststate.State(); err != nil {
		return err
	}
	if c.known, err = c.made(); err != nil {
		return err
	}
	random := c.random()
	signals := slices.Sorted(maps.Keys(signals()))
	for n := 1; n <= c.count; n++ {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, c.check(context.WithoutCancel(ctx)))
		}
		command := c.commands[random.IntN(len(c.commands))]
		signal := signals[random.IntN(len(signals))]
		delay := time.Duration(random.Int64N(int64(command.most)))
		c.attack(ctx, command, signal, delay)
		c.lookAtJournals()
		if n%checkEvery == 0 || n == c.count {
			c.startPair(ctx)
			c.lookAtJournals()
			if err := c.check(ctx); err != nil {
				return err
			}
			c.say("crash: %d of %d signals, %d problems", n, c.count, len(c.report.Problems))
		}
	}
	return errors.Join(c.interruptRuns(ctx), c.check(ctx))
}

func signals() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "STOP+CONT": syscall.SIGSTOP,
	}
}

// attack starts a command, sends it a signal, and judges how it ended.
func (c *crash) attack(ctx context.Context, command command, name string, delay time.Duration) {
	c.rounds[name]++
	what := fmt.Sprintf("%s after %s to `dsrlab %s`", name, delay.Round(time.Millisecond), strings.Join(command.args, " "))
	c.history = append(c.history, what)
	stood, err := leftIn(c.state)
	if err == nil {
		err = c.judge(ctx, command, name, delay, stood)
	}
	if err != nil {
		c.failures[name]++
		c.report.problem("%s: %v", what, err)
		c.say("crash: %s: %v", what, err)
	}
}

func (c *crash) judge(ctx context.Context, command command, name string, delay time.Duration, stood []string) error {
	var story bytes.Buffer
	cmd := exec.Command(c.program, command.args...)
	cmd.Dir, cmd.Stderr = c.dir, &story
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second   // what it started may hold its standard error
	stdin, err := cmd.StdinPipe() // which never ends by itself
	if err != nil {
		return err
	}
	defer stdin.Close()
	ended, err := begin(cmd)
	if err != nil {
		return err
	}
	select {
	case <-ended:
	case <-time.After(delay):
	}
	began := time.Now()
	signal := signals()[name]
	kill(cmd.Process.Pid, signal)
	if signal == syscall.SIGSTOP {
		wait(ctx, delay/2)
		kill(cmd.Process.Pid, syscall.SIGCONT)
		signal = 0
		if command.endless {
			signal = syscall.SIGINT
			kill(cmd.Process.Pid, signal)
		}
	}
	select {
	case <-ended:
	case <-time.After(endWithin):
		kill(cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		return fmt.Errorf("it did not end within %s", endWithin)
	}
	if took := time.Since(began); signal != 0 && took > c.slowest {
		c.slowest, c.slow = took, name+" to `dsrlab "+strings.Join(command.args[:min(2, len(command.args))], " ")+"`"
	}
	return c.verdict(command, cmd.ProcessState.Sys().(syscall.WaitStatus), signal, story.String(), stood)
}

// kill sends a signal as a terminal, or whoever knows only the process, does. What has ended gets none.
func kill(pid int, signal syscall.Signal) {
	if signal == syscall.SIGINT || signal == syscall.SIGHUP {
		pid = -pid
	}
	_ = syscall.Kill(pid, signal)
}

// verdict returns an error if a command ended otherwise than it should.
func (c *crash) verdict(command command, status syscall.WaitStatus, signal syscall.Signal, story string, stood []string) error {
	if strings.Contains(story, "goroutine ") {
		return fmt.Errorf("it panicked: %s", story)
	}
	if signal == syscall.SIGKILL {
		return nil
	}
	const highest = 4 // of the codes that the README lists
	code := status.ExitStatus()
	if status.Signaled() { // before it began its work, if it left nothing: a shell shows the same exit status
		code = 128 + int(status.Signal())
	}
	if code > highest && (signal == 0 || code != 128+int(signal)) {
		return fmt.Errorf("exit status %d (want %d, or 0 to %d if it was done): %s", code, 128+int(signal), highest, lastLine(story))
	}
	if code <= highest {
		return nil
	}
	left, err := leftIn(c.state)
	if command.builds != "" && slices.Contains(left, command.builds) && !slices.Contains(stood, command.builds) {
		return fmt.Errorf("exit status %d, and it left the testbed %s", code, command.builds)
	}
	return err
}

// check takes everything down, and compares the host.
func (c *crash) check(ctx context.Context) error {
	c.checks++
	if err := tempt(c.state); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	said, err := exec.CommandContext(bounded, c.program, "down", "--all", "--state-dir", c.state).CombinedOutput()
	var problems []string
	if err != nil {
		problems = append(problems, fmt.Sprintf("down --all: %v: %s", err, lastLine(string(said))))
	}
	if left, err := leftIn(c.state); err != nil || len(left) > 0 {
		problems = append(problems, fmt.Sprintf("down --all left %q (%v)", left, err))
	}
	gone, err := c.foreign.gone()
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		c.foreignFailures++
		problems = append(problems, fmt.Sprintf("down --all removed namespaces of others: %s", strings.Join(gone, ", ")))
	}
	diff, err := differs(ctx, c.before)
	if err != nil {
		return err
	}
	if diff != "" {
		problems = append(problems, "the host differs: "+diff)
	}
	if len(problems) > 0 {
		c.unclean++
		c.report.problem("%s; after %s", strings.Join(problems, "; "), strings.Join(c.history, "; "))
		c.say("crash: %s; after\n  %s", strings.Join(problems, "; "), strings.Join(c.history, "\n  "))
		if c.before, err = hoststate.State(); err != nil { // so that one fault is one problem
			return err
		}
		c.state += "+" // what can't be taken down stays for inspection
		c.commands = commands(c.dir, c.state)
		if c.known, err = c.made(); err != nil {
			return err
		}
	}
	c.history = nil
	return nil
}

// differs says how the host is not what it was, once the kernel is done with removing.
func differs(ctx context.Context, before string) (string, error) {
	for deadline := time.Now().Add(endWithin); ; wait(ctx, 100*time.Millisecond) {
		after, err := hoststate.State()
		if err != nil || after == before {
			return "", err
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return difference(before, after), nil
		}
	}
}

// difference lists the lines that only one of two texts has.
func difference(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	var lines []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			lines = append(lines, "gone: "+line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			lines = append(lines, "new: "+line)
		}
	}
	return strings.Join(lines, ", ")
}

func (c *crash) addCases() {
	for _, name := range slices.Sorted(maps.Keys(c.rounds)) {
		seen, why := "128 plus the signal's number as exit status, and nothing is left of what the command made", "each command handles it"
		switch name {
		case "KILL":
			seen, why = "what the command made stays until `down`", "a journal is written ahead of each change"
		case "STOP+CONT":
			seen, why = "the command goes on", "no step relies on time"
		}
		c.report.add(outcome{
			Case: name + " to any command", Tried: c.rounds[name], Unit: "commands", Failed: c.failures[name], Seen: seen, Why: why,
		})
	}
	c.report.add(outcome{
		Case: "`down --all` after every " + fmt.Sprint(checkEvery) + " of them and two at once", Tried: c.checks, Unit: "host comparisons", Failed: c.unclean,
		Seen: fmt.Sprintf("the host as it was before; the slowest command (%s) ended %.1f s after its signal", c.slow, c.slowest.Seconds()),
		Why:  "all that is made is marked",
	})
	for _, o := range []outcome{c.journalOutcome(), c.pairOutcome(), c.foreignOutcome(), c.interruptedOutcome()} {
		c.report.add(o)
	}
}

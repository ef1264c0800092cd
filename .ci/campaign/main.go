// Command campaign tries by force whether dsrlab survives:
//
//	go tool campaign crash -n 500       random signals to random commands, and two at once, beside a testbed that serves
//	go tool campaign chaos              links, nodes, backends, agents and disks fail under traffic, and packets are forged
//	go tool campaign soak -duration 15m
//	go tool campaign fresh              the README's first commands in a bare Debian with Go
//
// All need root, bin/dsrlab, and what is beside it. What is chosen at random follows from -seed. The report goes to -out as JSON, from
// which README.md quotes. It exits with 0 if all was as it should be, with 1 if not, with 2 on bad usage, and with 3 if the campaign could
// not be carried out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	exitHeld    = 0
	exitBroken  = 1
	exitUsage   = 2
	exitNotDone = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are what the command line says.
type options struct {
	campaign string
	seed     uint64
	// program is dsrlab; labpod and dsrd are beside it. out is the file for the report; empty for none.
	program, out string
	count        int           // crash: signals
	duration     time.Duration // soak
	only         string        // chaos: cases whose names have this
	mirror       string        // fresh: of Debian
	// dir is a folder for all that the campaign makes; it is removed in the end.
	dir      string
	progress io.Writer
}

func run(ctx context.Context, args []string, out, progress io.Writer) int {
	o, err := parseOptions(args, progress)
	if errors.Is(err, flag.ErrHelp) {
		return exitHeld
	}
	if err != nil {
		fmt.Fprintln(progress, "campaign:", err)
		return exitUsage
	}
	r, err := o.carryOut(ctx)
	if r != nil {
		r.write(out)
	}
	if err == nil && o.out != "" {
		err = r.save(o.out)
	}
	if err != nil {
		fmt.Fprintln(progress, "campaign:", err)
		return exitNotDone
	}
	if len(r.Problems) > 0 {
		return exitBroken
	}
	return exitHeld
}

// campaigns are all of them by name.
func campaigns() map[string]func(context.Context, *options, *report) error {
	return map[string]func(context.Context, *options, *report) error{
		"crash": runCrash, "chaos": runChaos, "soak": runSoak, "fresh": runFresh,
	}
}

func parseOptions(args []string, usage io.Writer) (*options, error) {
	const names = "crash, chaos, soak or fresh"
	if len(args) == 0 {
		return nil, errors.New("found no campaign (want " + names + ")")
	}
	o := &options{campaign: args[0], progress: usage}
	flags := flag.NewFlagSet("campaign", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.Uint64Var(&o.seed, "seed", 1, "what is chosen at random follows from this")
	flags.StringVar(&o.program, "dsrlab", "bin/dsrlab", "program that is tried")
	flags.StringVar(&o.out, "out", "", "file for the report as JSON")
	flags.IntVar(&o.count, "n", 500, "crash: how many commands get a signal")
	flags.DurationVar(&o.duration, "duration", 15*time.Minute, "soak: how long")
	flags.StringVar(&o.only, "only", "", "chaos: only cases whose names have this")
	flags.StringVar(&o.mirror, "mirror", "http://deb.debian.org/debian", "fresh: mirror of Debian")
	if campaigns()[o.campaign] == nil && !strings.HasPrefix(o.campaign, "-") {
		return nil, fmt.Errorf("unknown campaign %q (want %s)", o.campaign, names)
	}
	if strings.HasPrefix(o.campaign, "-") {
		return nil, flags.Parse(args)
	}
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	var problems []error
	if flags.NArg() > 0 {
		problems = append(problems, fmt.Errorf("found %q after the options (want nothing)", flags.Arg(0)))
	}
	if o.count < 1 {
		problems = append(problems, fmt.Errorf("-n: found %d (want at least 1)", o.count))
	}
	if o.duration <= 0 {
		problems = append(problems, fmt.Errorf("-duration: found %s (want more than 0)", o.duration))
	}
	return o, errors.Join(problems...)
}

// carryOut carries out the campaign. With an error the report has what was found out before, or is nil.
func (o *options) carryOut(ctx context.Context) (r *report, err error) {
	if err := requireRoot(); err != nil {
		return nil, err
	}
	if o.program, err = filepath.Abs(o.program); err != nil {
		return nil, err
	}
	version, err := exec.CommandContext(ctx, o.program, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("ask %s for its version: %w; `make build` makes it", o.program, err)
	}
	if o.dir, err = os.MkdirTemp("", "dsrlab-"+o.campaign+"-"); err != nil {
		return nil, err
	}
	r = newReport(o.campaign, o.seed, strings.TrimPrefix(strings.TrimSpace(string(version)), "dsrlab "))
	began := time.Now()
	err = campaigns()[o.campaign](ctx, o, r)
	r.Seconds = time.Since(began).Round(time.Second).Seconds()
	if err != nil {
		return r, fmt.Errorf("%w (what it made is in %s)", err, o.dir)
	}
	if len(r.Problems) > 0 {
		o.say("%s: what it made is in %s", o.campaign, o.dir)
		return r, nil
	}
	return r, os.RemoveAll(o.dir)
}

func (o *options) random() *rand.Rand { return rand.New(rand.NewPCG(o.seed, 0)) }

func (o *options) say(format string, args ...any) { fmt.Fprintf(o.progress, format+"\n", args...) }

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

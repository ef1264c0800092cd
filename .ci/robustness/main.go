// Command robustness finds out how much room the labs' expectations have. It runs labs repeatedly under disturbances, and says for each
// expectation which values were observed, and how far they stay from its bound in units of their spread:
//
//	go tool robustness -n 5 --disturb "none busy-1 busy-all one-cpu" 01-source-ip 02-throughput
//
// With --recorded DISTURBANCE=FOLDER it judges runs that exist instead. Without a name it takes all labs. To run labs it needs root, and
// bin/dsrlab. It exits with 0 if everything held with room, with 1 if an expectation
// was broken or had too little room, with 2 on bad usage, with 3 if labs could not be run, and with 4 if a run did not come to its end or did
// not measure all that is expected. What this machine lacks for a lab is counted, but does not fail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/dsrlab/dsrlab/labs"
)

const (
	exitRoom        = 0
	exitTight       = 1
	exitUsage       = 2
	exitNotRun      = 3
	exitNotMeasured = 4
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are what the command line says.
type options struct {
	labs         []*labs.Lab
	disturbances []disturbance
	repetitions  int
	// program is dsrlab; runs is the folder for its run folders; out is the file for the report as JSON, empty for none.
	program, runs, out string
	// recorded are folders of runs that are judged instead of new ones.
	recorded []recorded
	// timeout bounds one run of one lab.
	timeout time.Duration
}

func run(ctx context.Context, args []string, out, progress io.Writer) int {
	o, err := parseOptions(args, progress)
	if errors.Is(err, flag.ErrHelp) {
		return exitRoom
	}
	if err != nil {
		fmt.Fprintln(progress, "robustness:", err)
		return exitUsage
	}
	r, err := o.report(ctx, progress)
	if r != nil && len(r.Runs) > 0 {
		r.write(out)
		if o.out != "" {
			err = errors.Join(err, r.save(o.out))
		}
	}
	if err != nil {
		fmt.Fprintln(progress, "robustness:", err)
		return exitNotRun
	}
	return r.exitCode()
}

func (o *options) report(ctx context.Context, progress io.Writer) (*report, error) {
	if len(o.recorded) > 0 {
		return o.judgeRecorded(progress)
	}
	return o.runAll(ctx, progress)
}

func parseOptions(args []string, usage io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("robustness", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.IntVar(&o.repetitions, "n", 5, "runs of each lab under each disturbance")
	names := flags.String("disturb", strings.Join(defaultDisturbances(), " "), "what competes with the labs: none, busy-N (N busy loops), "+
		"busy-all (as many as there are CPUs), one-cpu (the lab has CPU 0 only)")
	flags.StringVar(&o.program, "dsrlab", "bin/dsrlab", "program that runs the labs")
	flags.StringVar(&o.runs, "runs", "runs/robustness", "folder for the recorded runs")
	flags.StringVar(&o.out, "out", "", "file for the report as JSON")
	flags.Func("recorded", "DISTURBANCE=FOLDER: judge the runs in a folder instead of running labs; can be repeated", func(text string) error {
		from, err := parseRecorded(text)
		o.recorded = append(o.recorded, from)
		return err
	})
	flags.DurationVar(&o.timeout, "timeout", 15*time.Minute, "for each run of a lab")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var problems []error
	fail := func(err error) { problems = append(problems, err) }
	if o.repetitions < 1 {
		fail(fmt.Errorf("-n: found %d (want at least 1)", o.repetitions))
	}
	if o.timeout <= 0 {
		fail(fmt.Errorf("--timeout: found %s (want more than 0)", o.timeout))
	}
	for _, name := range strings.Fields(*names) {
		d, err := parseDisturbance(name)
		if err != nil {
			fail(fmt.Errorf("--disturb: %w", err))
		}
		o.disturbances = append(o.disturbances, d)
	}
	if len(o.disturbances) == 0 {
		fail(errors.New("--disturb: found nothing (want none for an idle machine)"))
	}
	var err error
	if o.labs, err = lookup(flags.Args()); err != nil {
		fail(err)
	}
	return o, errors.Join(problems...)
}

// lookup reads labs of the catalogue: all of them if no name is given.
func lookup(names []string) ([]*labs.Lab, error) {
	if len(names) == 0 {
		var err error
		if names, err = labs.Catalogue(); err != nil {
			return nil, err
		}
	}
	var all []*labs.Lab
	var problems []error
	for _, name := range names {
		lab, err := labs.Lookup(name)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		all = append(all, lab)
	}
	return all, errors.Join(problems...)
}

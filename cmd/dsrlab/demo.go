package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/cmd/internal/stdout"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/present"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// demoLabs are what `demo dsr` shows.
func demoLabs() []string { return []string{"01-source-ip", "02-throughput"} }

// showOptions are how a demonstration is shown.
type showOptions struct {
	runOptions
	present bool
	play    string
	timeout time.Duration
}

// newDemoCommand shows labs.
func newDemoCommand(s streams) *cobra.Command {
	var o showOptions
	cmd := &cobra.Command{
		Use:   "demo dsr | LAB",
		Short: "Show the talk's demonstration, or any lab, narrated",
		Long: `Shows labs with their narration: "dsr" is what SNAT does to the client's address and to throughput, and what DSR changes.

With --present it goes step by step on key presses, one step for each variant in each phase: space or enter goes on, b goes back a step
(as it was, without running it again), r runs the step again, s skips it, Ctrl-C stops the one that runs, arrows scroll, q quits and
takes everything down. A step that fails is told, and the show goes on. --play shows a recorded run in the same way, without root and
offline; every screen says that it is recorded. A lab's name means its latest run that came to its end.`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			names := args
			if args[0] == "dsr" {
				names = demoLabs()
			}
			if o.play != "" {
				return playRun(cmd, s, o)
			}
			if o.present {
				return presentLabs(cmd, s, o, names)
			}
			if o.output == "text" && args[0] == "dsr" {
				fmt.Fprintln(s.out, terminal.Wrap("A pod behind a load balancer: does it know where you're from, and how fast is its answer?",
					terminal.ColumnsOr(s.out, terminal.ProseColumns)))
			}
			return runLabs(cmd, s, o.runOptions, names)
		},
	}
	o.flags(cmd)
	faultFlag(cmd, &o.fault)
	cmd.Flags().BoolVar(&o.present, "present", false, "step through it on key presses, each variant once unless --repetitions says otherwise")
	cmd.Flags().StringVar(&o.play, "play", "", "step through a recorded run instead: its path or id, or \"latest\" or the lab's name")
	cmd.Flags().DurationVar(&o.timeout, "step-timeout", 2*time.Minute, "with --present, how long a trial may take")
	return cmd
}

// presentLabs shows labs live, one after the other.
func presentLabs(cmd *cobra.Command, s streams, o showOptions, names []string) error {
	all, err := lookupLabs(o.runOptions, names)
	if err != nil {
		return err
	}
	if o.on.isCluster() {
		return usageError(errors.New("--present: not with --substrate cluster"))
	}
	if err := requireRoot("running a lab"); err != nil {
		return err
	}
	on, err := o.on.kind()
	if err != nil {
		return err
	}
	scale, err := o.parseScale()
	if err != nil {
		return err
	}
	release, err := netns.AcquireMachine(cmd.Context(), o.wait.waiting(s))
	if err != nil {
		return err
	}
	defer release()
	if err := mustUndo(cmd.Context()); err != nil { // the terminal's state, too
		return err
	}
	var summaries []results.Summary
	for _, lab := range all {
		runner := labs.Runner{
			Testbed: testbed.Options{StateDir: o.stateDir, Keep: o.on.keep, NodeImage: o.on.image, Log: notices(s.err)}, Substrate: on,
			RunsDir: o.runs, Repetitions: max(o.repetitions, 1), Scale: scale, Waiting: o.wait.waiting(s),
		}
		live, err := present.NewLive(runner, lab, o.timeout)
		if err != nil {
			return upError(err)
		}
		whole, err := present.Run(cmd.Context(), live, present.Options{In: s.in, Out: stdout.Screen(s.out)})
		if err != nil {
			return upError(err)
		}
		summary := live.Summary()
		if !whole { // the presenter has seen enough, also of the labs that would follow
			return leftEarly(s, o, append(summaries, summary))
		}
		summaries = append(summaries, summary)
	}
	if err := printSummaries(s, o.runOptions, summaries); err != nil {
		return err
	}
	return outcome(summaries)
}

// leftEarly is the outcome of a show that the presenter left in its last lab. That it is incomplete is no failure.
func leftEarly(s streams, o showOptions, summaries []results.Summary) error {
	last := len(summaries) - 1
	left := summaries[last]
	if left.Result != results.Untested {
		return outcome(summaries)
	}
	for _, reason := range left.Reasons {
		fmt.Fprintf(s.err, "%s: %s\n", left.Lab, reason)
	}
	fmt.Fprintf(s.err, "What was measured: dsrlab results show %s\n", evidenceAt(o.runOptions, summaries[last:]))
	return outcome(summaries[:last])
}

// playRun shows a recorded run.
func playRun(cmd *cobra.Command, s streams, o showOptions) error {
	run, err := results.Store{Dir: o.runs, Reference: results.Reference()}.Find(o.play)
	if err != nil {
		return usageError(errors.Join(errors.New("--play"), err))
	}
	if err := mustUndo(cmd.Context()); err != nil { // the terminal's state
		return err
	}
	_, err = present.Run(cmd.Context(), present.NewRecorded(run), present.Options{In: s.in, Out: stdout.Screen(s.out)})
	return upError(err)
}

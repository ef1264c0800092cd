package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/cmd/internal/interrupt"
	"github.com/dsrlab/dsrlab/cmd/internal/stdout"
	"github.com/dsrlab/dsrlab/cmd/internal/usage"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
)

// Exit codes of every command.
const (
	exitOK          = 0 // done, and as expected
	exitFailed      = 1 // an expectation failed, or the work itself did
	exitUsage       = 2 // bad usage or input, or another dsrlab is at work on the same
	exitUnsupported = 3 // the machine lacks something
	exitUntested    = 4 // nothing could be measured, or not all that had to be
)

// streams are what a command reads and writes: data on out, progress and errors on err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// exitError carries an exit code up to run.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprint("exit status ", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError marks err as the user's input (exit code 2).
func usageError(err error) error { return &exitError{exitUsage, err} }

// unsupportedError marks err as something that the machine lacks (exit code 3).
func unsupportedError(err error) error { return &exitError{exitUnsupported, err} }

// run executes one command line and returns its exit code. Tests call it in place of the binary. An interrupted command has the exit
// code that shells give it: 130 after SIGINT, 143 after SIGTERM, 129 after SIGHUP, 141 where nobody reads its output any more.
func run(ctx context.Context, args []string, s streams) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := stdout.New(s.out, func() { cancel(&interrupt.Error{Signal: brokenPipe}) })
	s.out = out
	var u undo
	var code int
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		code, err = execute(context.WithValue(ctx, undoKey{}, &u), args, s)
	}()
	if !u.await(ctx, done, s.err) {
		out.Silence() // what is left of the command says nothing more
		return interrupt.Of(ctx).ExitCode()
	}
	written := out.Close()
	if e := interrupt.Of(ctx); e != nil {
		if err = besidesInterruption(err); err != nil && e.Signal != brokenPipe {
			complain(s.err, err)
		}
		return e.ExitCode()
	}
	if written != nil {
		code = exitFailed
		if !errors.Is(err, written) {
			err = errors.Join(err, written)
		}
	}
	if err != nil {
		complain(s.err, err)
	}
	return code
}

// brokenPipe is the signal of a program that writes to a pipe which nobody reads.
const brokenPipe = syscall.SIGPIPE

// execute is run without what all commands have in common. The error has its message only if there is one.
func execute(ctx context.Context, args []string, s streams) (code int, err error) {
	root := newRootCommand(s)
	root.SetArgs(args)
	code = exitUsage // of what fails before the command itself begins
	root.PersistentPreRun = func(*cobra.Command, []string) { code = exitFailed }
	err = root.ExecuteContext(ctx)
	if err == nil {
		return exitOK, nil
	}
	var exit *exitError
	var held *lockfile.HeldError
	switch {
	case errors.As(err, &exit):
		return exit.code, exit.err
	case errors.As(err, &held):
		return exitUsage, err
	}
	return code, err
}

// complain tells an error, in lines that fit the terminal.
func complain(stderr io.Writer, err error) {
	message := "dsrlab: " + usage.Message(err)
	if columns := terminal.Columns(stderr); columns > 0 {
		message = terminal.Wrap(message, columns)
	}
	fmt.Fprintln(stderr, message)
}

func newRootCommand(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "dsrlab",
		Version:       version(results.BuildRevision()),
		Short:         "See, measure and explain where a client's address goes, and what Direct Server Return changes",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.AddCommand(
		newUpCommand(s), newDownCommand(s), newStatusCommand(s), newExecCommand(), newCaptureCommand(s),
		newTopologyCommand(s), newLabCommand(s), newDemoCommand(s), newWorkshopCommand(s), newLBCommand(s), newObserveCommand(s), newTraceCommand(s), newMetricsCommand(s),
		newResultsCommand(s), newDoctorCommand(s), newExplainCommand(s), newAssessCommand(s), newSupportBundleCommand(s), newImageCommand(s), newUICommand(s),
	)
	addCompletions(root)
	usage.FitHelp(root)
	root.SetVersionTemplate("dsrlab {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(usage.FlagError(err)) })
	return root
}

// version names the revision that the program was built from.
func version(r results.Revision) string {
	switch {
	case r.Commit == "":
		return "of an unknown revision"
	case r.Modified:
		return fmt.Sprintf("%s, with uncommitted changes (%s)", r.Commit, r.Time)
	}
	return fmt.Sprintf("%s (%s)", r.Commit, r.Time)
}

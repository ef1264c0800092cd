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
)

// Exit codes of every command.
const (
	exitOK     = 0 // everything as expected
	exitFailed = 1 // a call was not answered, or the command failed
	exitUsage  = 2 // bad usage or input
)

// streams holds the output streams of a command: data on out, errors on err.
type streams struct {
	out, err io.Writer
}

// exitError carries an exit code up to run. With a nil err, nothing is printed besides the command's output.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprintf("exit %d: %v", e.code, e.err) }
func (e *exitError) Unwrap() error { return e.err }

// usageError marks err as the user's input (exit code 2).
func usageError(err error) error { return &exitError{exitUsage, err} }

// run executes one command line and returns its exit code. Tests call it instead of the binary. A client that is interrupted has the
// exit code that shells give it; for a server a signal is how it is meant to end.
func run(ctx context.Context, args []string, s streams) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := stdout.New(s.out, func() { cancel(&interrupt.Error{Signal: syscall.SIGPIPE}) })
	s.out = out
	root := newRootCommand(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	written := out.Close()
	interrupted := interrupt.Of(ctx)
	switch {
	case interrupted != nil && (err != nil || written != nil):
		return interrupted.ExitCode()
	case err == nil && written == nil:
		return exitOK
	case err == nil:
		err = written
	}
	exit := &exitError{exitFailed, err}
	errors.As(err, &exit)
	if exit.err != nil {
		fmt.Fprintln(s.err, "labpod:", usage.Message(exit.err))
	}
	return exit.code
}

func newRootCommand(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "labpod",
		Short:         "Servers for the lab's pods, and clients that call them",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError(fmt.Errorf("unknown command %q: see labpod --help", args[0]))
			}
			return usageError(errors.New("missing command: see labpod --help"))
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }, // not reached: Args returns an error
	}
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(usage.FlagError(err)) })
	root.AddCommand(newServeCommand(s), newConnectCommand(s), newGetCommand(s), newBulkCommand(s),
		newL7ProxyCommand(s), newTCPProxyCommand(s), newAppCommand(s), newCallMeCommand(s), newLoadCommand(s), newDownloadCommand(s), newBGPCommand(s),
		newProbeCommand(s), newExpireCommand(s))
	usage.FitHelp(root)
	return root
}

// noArgs rejects all arguments.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(fmt.Errorf("%s: found arguments %q (want none)", c.Name(), args))
	}
	return nil
}

// oneArg requires exactly one argument, which the usage calls name.
func oneArg(name string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return usageError(fmt.Errorf("%s: missing argument (want %s)", c.Name(), name))
		case 1:
			return nil
		}
		return usageError(fmt.Errorf("%s: found arguments %[3]q (want one: %[2]s)", c.Name(), name, args))
	}
}

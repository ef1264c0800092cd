package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit codes of every command.
const (
	exitOK     = 0 // done, and as expected
	exitFailed = 1 // a call was not answered, or the work itself failed
	exitUsage  = 2 // bad usage or input
)

// streams are what a command writes: data on out, errors on err.
type streams struct {
	out, err io.Writer
}

// exitError carries an exit code up to run. Without an error there is nothing to print that the output doesn't say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprintf("exit %d: %v", e.code, e.err) }
func (e *exitError) Unwrap() error { return e.err }

// usageError marks err as the user's input (exit code 2).
func usageError(err error) error { return &exitError{exitUsage, err} }

// run executes one command line and returns its exit code. Tests call it in place of the binary.
func run(ctx context.Context, args []string, s streams) int {
	root := newRootCommand(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	exit := &exitError{exitFailed, err}
	errors.As(err, &exit)
	if exit.err != nil {
		fmt.Fprintf(s.err, "labpod: %v\n", exit.err)
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
			return usageError(errors.New("command missing: see labpod --help"))
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }, // not reached: Args says no
	}
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	root.AddCommand(newServeCommand(s), newConnectCommand(s), newGetCommand(s), newBulkCommand(s),
		newL7ProxyCommand(s), newTCPProxyCommand(s), newAppCommand(s), newCallMeCommand(s), newLoadCommand(s), newDownloadCommand(s), newBGPCommand(s))
	return root
}

// noArgs wants no argument.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(fmt.Errorf("%s wants no arguments, got %q", c.Name(), args))
	}
	return nil
}

// oneArg wants the argument that name stands for.
func oneArg(name string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return usageError(fmt.Errorf("%s wants 1 argument (%s), got none", c.Name(), name))
		case 1:
			return nil
		}
		return usageError(fmt.Errorf("%s wants 1 argument (%s), got %q", c.Name(), name, args))
	}
}

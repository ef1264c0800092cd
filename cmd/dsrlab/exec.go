package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// newExecCommand runs a program in a node or pod.
func newExecCommand(s streams) *cobra.Command {
	var target testbedTarget
	cmd := &cobra.Command{
		Use:     "exec NODE|POD -- COMMAND [ARG...]",
		Short:   "Run a program in a node or pod, or in the fabric",
		Example: "  dsrlab exec client -- curl http://185.150.8.128:8080/",
		Args:    minArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			tb, err := target.attach()
			if err != nil {
				return err
			}
			network := tb.Network()
			if !slices.Contains(network.Namespaces(), args[0]) {
				return usageError(fmt.Errorf("%s has no %q; there are %v", network.Name(), args[0], network.Namespaces()))
			}
			// A terminal sends its interrupt to the program as well: whether to end is the program's affair.
			ctx, stop := signal.NotifyContext(context.WithoutCancel(cmd.Context()), syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			return exitOf(network.Run(ctx, args[0], args[1:], netns.Streams{In: s.in, Out: s.out, Err: s.err}))
		},
	}
	target.flags(cmd)
	return cmd
}

// exitOf gives the program's exit code, as a shell would: 128 and the signal that ended it, 127 if there is none.
func exitOf(err error) error {
	var status *exec.ExitError
	if !errors.As(err, &status) {
		if errors.Is(err, exec.ErrNotFound) {
			return &exitError{code: 127, err: err}
		}
		return err
	}
	if state, ok := status.Sys().(syscall.WaitStatus); ok && state.Signaled() {
		return &exitError{code: 128 + int(state.Signal())}
	}
	return &exitError{code: status.ExitCode()} // the program has said why
}

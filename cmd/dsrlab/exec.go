package main

import (
	"errors"
	"io/fs"
	"os/exec"
	"slices"

	"github.com/spf13/cobra"
)

// newExecCommand runs a program in a node or pod.
func newExecCommand() *cobra.Command {
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
				return unknown("node or pod of "+network.Name(), args[0], network.Namespaces())
			}
			if err := mustUndo(cmd.Context()); err != nil { // after a signal there is no program any more that it could end
				return err
			}
			return cannotRun(network.Exec(args[0], args[1:]))
		},
	}
	target.flags(cmd)
	return cmd
}

// cannotRun gives a program that can't be run the exit code that shells give it.
func cannotRun(err error) error {
	var lookup *exec.Error
	switch {
	case !errors.As(err, &lookup):
		return err
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return &exitError{code: 127, err: err}
	}
	return &exitError{code: 126, err: err}
}

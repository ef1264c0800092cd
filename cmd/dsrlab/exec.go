package main

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/topologies/netns"
)

// newExecCommand runs a program in a node or pod.
func newExecCommand(s streams) *cobra.Command {
	var target labTarget
	cmd := &cobra.Command{
		Use:     "exec NODE|POD -- COMMAND [ARG...]",
		Short:   "Run a program in a node or pod, or in the fabric",
		Example: "  dsrlab exec client -- curl http://185.150.8.128:8080/",
		Args:    minArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			stand, err := target.stand()
			if err != nil {
				return err
			}
			lab := stand.Lab()
			if !slices.Contains(lab.Places(), args[0]) {
				return usageError(fmt.Errorf("%s has no %q; there are %v", lab.Name(), args[0], lab.Places()))
			}
			err = lab.Run(cmd.Context(), args[0], args[1:], netns.Streams{In: s.in, Out: s.out, Err: s.err})
			var status *exec.ExitError
			if errors.As(err, &status) && status.ExitCode() > 0 {
				return &exitError{code: status.ExitCode()} // the program has said why
			}
			return err
		},
	}
	target.flags(cmd)
	return cmd
}

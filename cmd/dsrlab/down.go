package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// newDownCommand takes a testbed down.
func newDownCommand(s streams) *cobra.Command {
	var target testbedTarget
	var all bool
	var wait waitFlag
	cmd := &cobra.Command{
		Use: "down", Short: "Take a testbed down, in whatever state it is", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := requireRoot("taking a testbed down"); err != nil {
				return err
			}
			names, err := target.toTakeDown(all)
			if err != nil {
				return err
			}
			if err := mustUndo(cmd.Context()); err != nil {
				return err
			}
			err = downEach(cmd.Context(), s, target.stateDir, names, wait.waiting(s))
			if all && err == nil {
				err = netns.ForgetMachine(cmd.Context())
			}
			return err
		},
	}
	target.flags(cmd)
	wait.flag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "take down every testbed")
	return cmd
}

// downEach takes testbeds down. One that can't be taken down does not keep the others; all errors are returned.
func downEach(ctx context.Context, s streams, stateDir string, names []string, waiting lockfile.Waiting) error {
	var failed, held []error
	for _, name := range names {
		err := testbed.Down(ctx, stateDir, name, waiting)
		var inUse *lockfile.HeldError
		switch {
		case err == nil:
			fmt.Fprintf(s.err, "%s is down\n", name)
		case errors.As(err, &inUse):
			held = append(held, err)
		default:
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(failed) > 0 {
		return &exitError{exitFailed, errors.Join(append(failed, held...)...)}
	}
	return errors.Join(held...)
}

// toTakeDown are the names of the testbeds to take down: where there is none there is nothing to do, and nothing wrong.
func (t *testbedTarget) toTakeDown(all bool) ([]string, error) {
	standing, err := netns.List(t.stateDir)
	if err != nil {
		return nil, err
	}
	if t.name != "" || len(standing) > 0 && !all {
		name, err := t.oneOf(standing)
		return []string{name}, err
	}
	var names []string
	for _, s := range standing {
		names = append(names, s.Name)
	}
	return names, nil
}

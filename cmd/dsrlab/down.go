package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// newDownCommand takes a testbed down.
func newDownCommand(s streams) *cobra.Command {
	var target testbedTarget
	var all bool
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
			for _, name := range names {
				if err := testbed.Down(cmd.Context(), target.stateDir, name); err != nil {
					return err
				}
				fmt.Fprintf(s.err, "%s is down\n", name)
			}
			return nil
		},
	}
	target.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "take down every testbed")
	return cmd
}

// toTakeDown are the names of the testbeds to take down: where there is none there is nothing to do, and nothing wrong.
func (t *testbedTarget) toTakeDown(all bool) ([]string, error) {
	running, err := netns.List(t.stateDir)
	if err != nil {
		return nil, err
	}
	if t.name != "" || len(running) > 0 && !all {
		name, err := t.resolve()
		return []string{name}, err
	}
	var names []string
	for _, s := range running {
		names = append(names, s.Name)
	}
	return names, nil
}

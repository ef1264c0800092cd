package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// newDownCommand takes a lab away.
func newDownCommand(s streams) *cobra.Command {
	var target labTarget
	var all bool
	cmd := &cobra.Command{
		Use: "down", Short: "Take a lab away, in whatever state it is", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := requireRoot("taking a lab down"); err != nil {
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
	cmd.Flags().BoolVar(&all, "all", false, "take down every lab")
	return cmd
}

// toTakeDown are the labs to take down: with none standing there is nothing to do, and nothing wrong.
func (l *labTarget) toTakeDown(all bool) ([]string, error) {
	standing, err := netns.List(l.stateDir)
	if err != nil {
		return nil, err
	}
	if l.name != "" || len(standing) > 0 && !all {
		name, err := l.resolve()
		return []string{name}, err
	}
	var names []string
	for _, s := range standing {
		names = append(names, s.Name)
	}
	return names, nil
}

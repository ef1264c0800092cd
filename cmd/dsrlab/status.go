package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// newStatusCommand lists the testbeds that run.
func newStatusCommand(s streams) *cobra.Command {
	var stateDir, output string
	cmd := &cobra.Command{
		Use: "status", Short: "List the testbeds that run", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := netns.List(stateDir)
			if err != nil {
				return err
			}
			return printAs(s.out, output, all, func(w io.Writer) {
				t := terminal.NewTable(w, "TESTBED", "TOPOLOGY", "STATE", "NODES", "PODS")
				for _, l := range all {
					t.Row(l.Name, l.Topology, l.State, l.Nodes, l.Pods)
				}
				t.Render()
			})
		},
	}
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&stateDir, "state-dir", netns.DefaultStateDir, "where testbeds are kept")
	return cmd
}

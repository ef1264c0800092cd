package main

import (
	"fmt"
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
				describeStatus(w, all)
			})
		},
	}
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&stateDir, "state-dir", netns.DefaultStateDir, "where testbeds are kept")
	return cmd
}

// describeStatus says what is wrong with testbeds, and who is at work on them.
func describeStatus(w io.Writer, all []netns.Status) {
	for _, l := range all {
		if l.Reason != "" {
			fmt.Fprintf(w, "%s is broken: %s; `dsrlab down --name %[1]s` removes it\n", l.Name, l.Reason)
		}
		if l.Holder != nil {
			fmt.Fprintf(w, "%s is in use by %s\n", l.Name, l.Holder)
		}
	}
}

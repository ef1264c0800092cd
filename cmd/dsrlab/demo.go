package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newDemoCommand shows the talk.
func newDemoCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "demo", Short: "Show the talk's demonstration, narrated", Args: noArgs}
	cmd.AddCommand(newDemoDSRCommand(s))
	return cmd
}

func newDemoDSRCommand(s streams) *cobra.Command {
	o := runOptions{}
	cmd := &cobra.Command{
		Use: "dsr", Short: "What SNAT does to the client's address and to throughput, and what DSR changes", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.output == "text" {
				fmt.Fprintln(s.out, "A pod behind a load balancer: does it know where you're from, and how fast is its answer?")
			}
			return runLabs(cmd, s, o, []string{"01-source-ip", "02-throughput"})
		},
	}
	o.flags(cmd)
	return cmd
}

package main

import (
	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/observe"
)

// newMetricsCommand prints what the data path has counted.
func newMetricsCommand(s streams) *cobra.Command {
	var target testbedTarget
	cmd := &cobra.Command{
		Use: "metrics", Short: "Print what all nodes have counted, in Prometheus' text format", Args: noArgs,
		Long: `Packets and bytes by reason, requests, answers, drops and flows by service, and entries and capacity of the maps, of every
node that runs our data path. Each reason is explained by "dsrlab explain REASON".`,
		RunE: func(*cobra.Command, []string) error {
			tb, err := target.attach()
			if err != nil {
				return err
			}
			return observe.WriteMetrics(s.out, tb)
		},
	}
	target.flags(cmd)
	return cmd
}

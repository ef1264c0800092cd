package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/testbed"
)

// newObserveCommand prints flows in the shape of `hubble observe`.
func newObserveCommand(s streams) *cobra.Command {
	var target testbedTarget
	var output string
	var follow bool
	var filter testbed.FlowFilter
	cmd := &cobra.Command{
		Use: "observe", Short: "Show the flows that the data path has seen, as hubble observe does", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := filter.Validate(); err != nil {
				return usageError(err)
			}
			if output != "compact" && output != "json" {
				return usageError(fmt.Errorf("--output: unknown format %q (want compact or json)", output))
			}
			tb, err := target.attach()
			if err != nil {
				return err
			}
			encoder := json.NewEncoder(s.out)
			return tb.Observe(cmd.Context(), follow, filter, func(f testbed.Flow) error {
				if output == "json" {
					return encoder.Encode(f)
				}
				_, err := fmt.Fprintln(s.out, f)
				return err
			})
		},
	}
	target.flags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "compact", "format: compact or json, an object a line")
	cmd.Flags().StringVar(&filter.From, "from", "", "source: name of a node or pod, address, or address and port")
	cmd.Flags().StringVar(&filter.To, "to", "", "destination or frontend, likewise")
	cmd.Flags().StringVar(&filter.Verdict, "verdict", "", "forwarded or dropped")
	cmd.Flags().StringVar(&filter.Reason, "reason", "", "the data path's name for what it did, as in to-overlay-dsr or no-backend")
	cmd.Flags().BoolVar(&follow, "follow", false, "go on until interrupted")
	return cmd
}

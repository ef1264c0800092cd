package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs"
)

// newObserveCommand prints flows in the shape of `hubble observe`.
func newObserveCommand(s streams) *cobra.Command {
	var target labTarget
	var output string
	var follow bool
	cmd := &cobra.Command{
		Use: "observe", Short: "Show the flows that the data path has seen, as hubble observe does", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stand, err := target.stand()
			if err != nil {
				return err
			}
			encoder := json.NewEncoder(s.out)
			return stand.Observe(cmd.Context(), follow, func(f labs.Flow) error {
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
	cmd.Flags().BoolVar(&follow, "follow", false, "go on until interrupted")
	return cmd
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/observe"
)

// observeLast is how many flows are shown by default, as hubble observe does.
const observeLast = 20

// newObserveCommand prints flows in the shape of `hubble observe`.
func newObserveCommand(s streams) *cobra.Command {
	var target testbedTarget
	var output string
	var all bool
	var options observe.Options
	cmd := &cobra.Command{
		Use: "observe", Short: "Show the flows that the data path has seen, as hubble observe does", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			last := cmd.Flags().Changed("last")
			if err := checkObserve(options, output, all && last); err != nil {
				return usageError(err)
			}
			switch {
			case all:
				options.Last = -1
			case options.Follow && !last:
				options.Last = 0
			}
			tb, err := target.attach()
			if err != nil {
				return err
			}
			if err := options.Filter.Check(tb.Plan()); err != nil {
				return usageError(err)
			}
			encoder := json.NewEncoder(s.out)
			lost, err := observe.Flows(cmd.Context(), tb, options, func(f observe.Flow) error {
				if output == "json" {
					return encoder.Encode(f)
				}
				_, err := fmt.Fprintln(s.out, f)
				return err
			})
			if lost > 0 {
				fmt.Fprintf(s.err, "%d flows were overwritten before they could be read\n", lost)
			}
			return err
		},
	}
	target.flags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "compact", "format: compact or json, an object a line")
	cmd.Flags().StringVar(&options.Filter.From, "from", "", "source: name of a node or pod, address, or address and port")
	cmd.Flags().StringVar(&options.Filter.To, "to", "", "destination or frontend, likewise")
	cmd.Flags().StringVar(&options.Filter.Verdict, "verdict", "", "forwarded or dropped")
	cmd.Flags().StringVar(&options.Filter.Reason, "reason", "", "the data path's name for what it did, as in to-overlay-dsr or no-backend")
	cmd.Flags().BoolVar(&options.Follow, "follow", false, "go on with flows as they come, until interrupted")
	cmd.Flags().IntVar(&options.Last, "last", observeLast, "begin with this many of the newest flows that the filters choose (with --follow: 0)")
	cmd.Flags().BoolVar(&all, "all", false, "begin with all flows that the nodes keep")
	return cmd
}

// checkObserve returns an error for each value that is wrong whatever the testbed.
func checkObserve(options observe.Options, output string, both bool) error {
	errs := []error{options.Filter.Validate()}
	if output != "compact" && output != "json" {
		errs = append(errs, fmt.Errorf("--output: unknown format %q (want compact or json)", output))
	}
	if both {
		errs = append(errs, errors.New("--last and --all: give one of them"))
	}
	if options.Last < 0 {
		errs = append(errs, fmt.Errorf("--last: found %d (want 0 or more)", options.Last))
	}
	return errors.Join(errs...)
}

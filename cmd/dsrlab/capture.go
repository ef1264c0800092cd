package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// newCaptureCommand captures packets of a node or pod.
func newCaptureCommand(s streams) *cobra.Command {
	var target labTarget
	var device, file string
	var duration time.Duration
	cmd := &cobra.Command{
		Use:     "capture NODE|POD",
		Short:   "Capture a node's or pod's packets as pcapng, until interrupted",
		Example: "  dsrlab capture lb -w lb.pcapng\n  dsrlab capture worker | tshark -r -",
		Args:    oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			stand, err := target.stand()
			if err != nil {
				return err
			}
			lab := stand.Lab()
			if !slices.Contains(lab.Places(), args[0]) {
				return usageError(fmt.Errorf("%s has no %q; there are %v", lab.Name(), args[0], lab.Places()))
			}
			var out io.Writer = s.out
			if file != "-" {
				f, err := os.Create(file)
				if err != nil {
					return usageError(err)
				}
				defer f.Close()
				out = f
			} else if isTerminal(s.out) {
				return usageError(fmt.Errorf("a capture is no text for a terminal: write it to a file by -w, or into a pipe"))
			}
			ctx := cmd.Context()
			if duration > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, duration)
				defer cancel()
			}
			return lab.Capture(ctx, args[0], device, out)
		},
	}
	target.flags(cmd)
	cmd.Flags().StringVarP(&device, "interface", "i", "eth0", "device")
	cmd.Flags().StringVarP(&file, "write", "w", "-", "file; - is stdout")
	cmd.Flags().DurationVar(&duration, "duration", 0, "stop after this time")
	return cmd
}

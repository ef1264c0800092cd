package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/support"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// newSupportBundleCommand gathers what somebody else needs to find out what is wrong.
func newSupportBundleCommand(s streams) *cobra.Command {
	var o support.Options
	var file string
	cmd := &cobra.Command{
		Use: "support-bundle", Short: "Gather state, tables, counters, short captures and facts of the machine in a tar.gz, for a report", Args: noArgs,
		Long: `Writes a tar.gz with the state, tables, counters, flows and a short capture of every node of the testbeds that run, and with versions and
kernel facts of this machine. It leaves out kubeconfigs, tokens and environment variables. Captures hold packets with what is in
them: look before you send. What could not be read is listed in problems.txt.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := requireRoot("reading testbeds"); err != nil {
				return err
			}
			if err := checkTestbed(o.StateDir, o.Testbed); err != nil {
				return err
			}
			if err := mustUndo(cmd.Context()); err != nil { // a file that is half written, and what doctor makes
				return err
			}
			o.Version = version(results.BuildRevision())
			f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return usageError(outputError("write", file, err))
			}
			if err := errors.Join(support.Write(cmd.Context(), f, o), f.Close()); err != nil {
				return errors.Join(err, os.Remove(file))
			}
			fmt.Fprintln(s.out, file)
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "write", "w", "dsrlab-support.tar.gz", "file to write; it must not be there yet")
	cmd.Flags().StringVar(&o.Testbed, "name", "", "name of the testbed (default: all)")
	cmd.Flags().StringVar(&o.StateDir, "state-dir", netns.DefaultStateDir, "where testbeds are kept")
	cmd.Flags().DurationVar(&o.Capture, "duration", time.Second, "how long packets are captured at each node; 0: not at all")
	cmd.Flags().BoolVar(&o.Doctor, "doctor", true, "also try what this machine can do, as dsrlab doctor does")
	return cmd
}

// checkTestbed refuses the name of a testbed that there is nothing of.
func checkTestbed(stateDir, name string) error {
	if name == "" {
		return nil
	}
	all, err := netns.List(stateDir)
	if err != nil {
		return err
	}
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = one.Name
	}
	if !slices.Contains(names, name) {
		return unknown("testbed", name, names)
	}
	return nil
}

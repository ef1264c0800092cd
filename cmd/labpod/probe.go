package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

func newProbeCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "probe",
		Short: "Send single packets with any source, and report those that arrive here",
		Long: `Read requests from standard input, a line of JSON each, and write answers and sightings of probes to standard output, until
standard input ends. It needs CAP_NET_RAW, and CAP_NET_ADMIN to read the rules of the machine; it changes nothing.

A request has a number, which its answer repeats, and one of: send (a list of probes), guard (ports that the kernel shall not answer
probes at), facts (true). The first line of output is the answer to request 0: from then on no probe is missed.`,
		Example: `  echo '{"number":1,"facts":true}' | labpod probe`,
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return probe.Serve(c.Context(), nil, os.Stdin, s.out)
		},
	}
}

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/cmd/internal/usage"
	"github.com/dsrlab/dsrlab/labs/observe"
	"github.com/dsrlab/dsrlab/labs/workload"
)

// newTraceCommand walks one request through all nodes.
func newTraceCommand(s streams) *cobra.Command {
	var target testbedTarget
	var output, protocol string
	var all bool
	var timeout time.Duration
	var wait waitFlag
	cmd := &cobra.Command{
		Use:   "trace CLIENT FRONTEND",
		Short: "Walk one real request, and its answer, hop by hop through all nodes",
		Long: `Sends one real request from a node or pod to a frontend (ADDRESS:PORT, or SERVICE:PORT with the port's name or number),
and shows what each program on its way met and what it made of it: namespace, hook, headers before and after, the DSR option,
verdict. Of a TCP connection it shows the handshake's first two packets; --all shows every packet.`,
		Example: "  dsrlab trace client 185.150.8.128:8080\n  dsrlab trace client tcp-echo:udp --protocol udp -o json",
		Args: func(cmd *cobra.Command, args []string) error {
			return asUsage(usage.Args(cobra.ExactArgs(2))(cmd, args))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if p := workload.Protocol(protocol); p != workload.TCP && p != workload.UDP {
				return usageError(fmt.Errorf("--protocol: unknown protocol %q (want tcp or udp)", protocol))
			}
			tb, err := target.attach()
			if err != nil {
				return err
			}
			if all := tb.Network().Namespaces(); !slices.Contains(all, args[0]) {
				return unknown("node or pod of "+tb.Network().Name(), args[0], all)
			}
			frontend, err := tb.Frontend(args[1], workload.Protocol(protocol))
			if err != nil {
				return usageError(err)
			}
			if err := mustUndo(cmd.Context()); err != nil {
				return err
			}
			report, err := observe.Trace(cmd.Context(), tb, observe.TraceOptions{
				Client: args[0], Frontend: frontend, Protocol: workload.Protocol(protocol), Timeout: timeout, Waiting: wait.waiting(s),
			})
			if err != nil {
				return err
			}
			if !all {
				report.Hops = report.FirstPackets()
			}
			if err := printAs(s.out, output, report, func(w io.Writer) { printTrace(w, report) }); err != nil {
				return err
			}
			if !report.Answered {
				return errors.New("the request was not answered: " + report.Outcome)
			}
			return nil
		},
	}
	target.flags(cmd)
	cmd.Flags().BoolVar((*bool)(&wait), "wait", false, "wait for another trace on the testbed (default: exit with status 2)")
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&protocol, "protocol", "tcp", "tcp or udp")
	cmd.Flags().BoolVar(&all, "all", false, "every packet of the request, not just the first each way")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "how long to wait for the answer")
	return cmd
}

func printTrace(w io.Writer, r *observe.TraceReport) {
	fmt.Fprintf(w, "%v calls %v over %s\n", r.Client, r.Frontend, r.Protocol)
	for i, h := range r.Hops {
		fmt.Fprintf(w, "\n%2d  %s, %s  +%v\n", i+1, h.Node, h.Hook, h.After.Round(time.Microsecond))
		fmt.Fprintf(w, "    in   %v  (%d bytes)\n", h.In, h.InBytes)
		if len(h.Out) > 0 {
			fmt.Fprintf(w, "    out  %v  (%d bytes)\n", h.Out, h.OutBytes)
		}
		fmt.Fprintf(w, "    %s: %s\n", h.Verdict, h.Reason)
	}
	switch {
	case r.Seen.IsValid():
		fmt.Fprintf(w, "\noutcome: %s; the pod saw %v\n", r.Outcome, r.Seen)
	case r.Answered:
		fmt.Fprintf(w, "\noutcome: answered, but not by an echo server, which would tell whom it saw\n")
	default:
		fmt.Fprintf(w, "\noutcome: %s\n", r.Outcome)
	}
}

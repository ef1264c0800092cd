package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/workload"
)

func newBulkCommand(s streams) *cobra.Command {
	var o workload.BulkOptions
	var out output
	var seconds float64
	c := &cobra.Command{
		Use:   "bulk ADDR:PORT",
		Short: "Transfer bytes as fast as the path carries them",
		Long: `Transfer bytes from or to a bulk server as fast as the path carries them, for a duration (default 5 s) or an amount, and
report the payload rate, the sender's retransmits and RTT, and TCP_INFO samples of both ends. Exit code 1 if a stream broke.`,
		Example: "  labpod bulk --direction download --seconds 5 185.150.8.128:5201 -o json",
		Args:    oneArg("ADDR:PORT"),
	}
	c.Flags().StringVar((*string)(&o.Direction), "direction", "download", "download, upload or both")
	c.Flags().Int64Var(&o.Bytes, "bytes", 0, "payload bytes of all streams, per direction (0: no limit)")
	c.Flags().Float64Var(&seconds, "seconds", 0, "duration (0: no limit when --bytes is given, else 5)")
	c.Flags().IntVar(&o.Streams, "streams", 1, "parallel connections")
	c.Flags().StringVar(&o.CongestionControl, "cc", "", "congestion control of both ends' sockets (default: that of the routes)")
	c.Flags().DurationVar(&o.Timeout, "timeout", workload.DefaultTimeout, "time for setting up the connections")
	c.Flags().DurationVar(&o.Grace, "grace", workload.DefaultGrace, "time for the end of the transfer to arrive, after --seconds")
	dialer := registerSource(c)
	out.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var targetErr, sourceErr error
		o.Target, targetErr = workload.ParseTarget(args[0])
		o.Dialer, sourceErr = dialer()
		if seconds == 0 && o.Bytes == 0 {
			seconds = 5
		}
		o.Duration = time.Duration(seconds * float64(time.Second))
		err := errors.Join(targetErr, sourceErr, out.validate())
		if err == nil {
			err = o.Validate()
		}
		if err != nil {
			return usageError(err)
		}
		report, err := workload.Bulk(c.Context(), o)
		if report == nil {
			return err
		}
		if writeErr := out.write(s.out, report, func(w io.Writer) { printBulk(w, report) }); writeErr != nil {
			return writeErr
		}
		return err
	}
	return c
}

func printBulk(w io.Writer, report *workload.BulkReport) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(plainTable())
	t.AppendHeader(table.Row{"Direction", "Mbit/s", "Bytes", "Seconds", "Retransmits", "Timeouts", "RTT", "Congestion control"})
	for _, one := range []struct {
		direction workload.Direction
		flow      *workload.Flow
	}{{workload.Download, report.Download}, {workload.Upload, report.Upload}} {
		if f := one.flow; f != nil {
			t.AppendRow(table.Row{one.direction, fmt.Sprintf("%.1f", f.PayloadRate/1e6), f.Bytes, fmt.Sprintf("%.2f", f.Duration.Seconds()),
				f.Retransmits, f.Timeouts, inUnits(f.RTT), f.CongestionControl})
		}
	}
	t.Render()
}

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/download"
)

func newDownloadCommand(s streams) *cobra.Command {
	var o download.Options
	var out output
	c := &cobra.Command{
		Use:   "download ADDR:PORT",
		Short: "Keep slow downloads running, and report when and how each one ended",
		Long: `Keep many slow downloads running from a download server, check their content byte for byte, and report when and how
each one ended. Exit code 1 if one was not completed.`,
		Example: "  labpod download --count 1000 --rate 50000 --length 60s 185.150.8.128:9000 -o json",
		Args:    oneArg("ADDR:PORT"),
	}
	c.Flags().IntVar(&o.Count, "count", 1, "parallel downloads")
	c.Flags().Float64Var(&o.Rate, "rate", 100_000, "rate of each download, in bit/s")
	c.Flags().DurationVar(&o.Length, "length", 10*time.Second, "time that each download takes at its rate")
	c.Flags().DurationVar(&o.Duration, "duration", 0, "time during which a download that ends is replaced by another (0: never)")
	c.Flags().DurationVar(&o.Stall, "stall", download.DefaultStall, "time without a byte after which a download is given up")
	c.Flags().DurationVar(&o.Timeout, "timeout", download.DefaultTimeout, "time for setting up a connection")
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "seed of the contents")
	dialer := registerSource(c)
	out.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var targetErr, sourceErr error
		o.Target, targetErr = workload.ParseTarget(args[0])
		o.Dialer, sourceErr = dialer()
		err := errors.Join(targetErr, sourceErr, out.validate())
		if err == nil {
			err = o.Validate()
		}
		if err != nil {
			return usageError(err)
		}
		report, err := download.Run(c.Context(), o)
		if writeErr := out.write(s.out, report, func(w io.Writer) { printDownloads(w, report) }); writeErr != nil {
			return writeErr
		}
		if completed := report.Ends[download.Completed]; err == nil && completed < len(report.Downloads) {
			err = fmt.Errorf("download from %s: %d of %d not completed", o.Target, len(report.Downloads)-completed, len(report.Downloads))
		}
		return err
	}
	return c
}

func printDownloads(w io.Writer, report *download.Report) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(plainTable())
	t.AppendHeader(table.Row{"End", "Downloads", "First ended", "Last ended", "Longest gap"})
	for _, end := range slices.Sorted(maps.Keys(report.Ends)) {
		var ended []download.Download
		for _, d := range report.Downloads {
			if d.End == end {
				ended = append(ended, d)
			}
		}
		slices.SortFunc(ended, func(a, b download.Download) int { return cmp.Compare(a.Ended, b.Ended) })
		gap := slices.MaxFunc(ended, func(a, b download.Download) int { return cmp.Compare(a.LongestGap, b.LongestGap) }).LongestGap
		t.AppendRow(table.Row{end, len(ended), inUnits(ended[0].Ended), inUnits(ended[len(ended)-1].Ended), inUnits(gap)})
	}
	t.Render()
	fmt.Fprintf(w, "\n%d bytes, all correct\n", report.Bytes)
}

package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/arrival"
	"github.com/dsrlab/dsrlab/labs/workload/inference"
	"github.com/dsrlab/dsrlab/results/units"
)

func newLoadCommand(s streams) *cobra.Command {
	var o inference.LoadOptions
	var out output
	var flags shapeFlags
	c := &cobra.Command{
		Use:   "load ADDR:PORT",
		Short: "Make requests in the shape of AI inference, and report latency and rate",
		Long: `Make requests to an inference server: with a shape of slide 25 (llm, image, embeddings, video) or sizes of your own, at
random times (--rate) or by workers (--workers). Latency is measured from when a request was due. Exit code 1 if a request
failed.`,
		Example: "  labpod load --shape llm --rate 20 --duration 30s 185.150.8.128:8000",
		Args:    oneArg("ADDR:PORT"),
	}
	flags.register(c)
	c.Flags().Float64Var(&o.Process.Rate, "rate", 0, "requests per second of an open loop (Poisson)")
	c.Flags().IntVar(&o.Process.Workers, "workers", 0, "workers of a closed loop")
	c.Flags().IntVar(&o.Process.Count, "count", 0, "requests to make (0: no limit)")
	c.Flags().DurationVar(&o.Process.Duration, "duration", 0, "time during which requests begin (0: no limit)")
	c.Flags().Uint64Var(&o.Process.Seed, "seed", 1, "seed of times and sizes")
	c.Flags().IntVar(&o.Process.InFlight, "in-flight", arrival.DefaultInFlight, "requests in progress beyond which an open loop sheds requests")
	c.Flags().BoolVar(&o.KeepAlive, "keep-alive", false, "let requests share connections")
	c.Flags().DurationVar(&o.Timeout, "timeout", inference.DefaultTimeout, "time for one request")
	dialer := registerSource(c)
	out.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var errs [3]error
		o.Target, errs[0] = workload.ParseTarget(args[0])
		o.Dialer, errs[1] = dialer()
		o.Shape, errs[2] = flags.shape(c)
		if o.Process.Loop = arrival.Open; o.Process.Workers != 0 {
			o.Process.Loop = arrival.Closed
		}
		err := errors.Join(append(errs[:], out.validate())...)
		if err == nil {
			err = o.Validate()
		}
		if err != nil {
			return usageError(err)
		}
		report, err := inference.Load(c.Context(), o)
		if writeErr := out.write(s.out, report, func(w io.Writer) { printLoad(w, report) }); writeErr != nil {
			return writeErr
		}
		if err == nil && report.Errors > 0 {
			err = fmt.Errorf("load %s: %d of %d requests failed", report.Target, report.Errors, len(report.Samples)+report.Arrival.Shed)
		}
		return err
	}
	return c
}

// shapeFlags holds a shape's name, and what the flags change in it.
type shapeFlags struct {
	name, request, response string
	changes                 inference.Shape
}

func (f *shapeFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.name, "shape", "llm", "shape of slide 25: llm, image, embeddings or video")
	c.Flags().StringVar(&f.request, "request", "", "bytes of a request, BYTES or MIN-MAX (default: the shape's)")
	c.Flags().StringVar(&f.response, "response", "", "bytes of a response, BYTES or MIN-MAX (default: the shape's)")
	c.Flags().Int64Var(&f.changes.Token, "token", 0, "bytes of a token's event, 0 for a response in one piece (default: the shape's)")
	c.Flags().Float64Var(&f.changes.TokenRate, "token-rate", 0, "tokens per second (default: the shape's)")
	c.Flags().DurationVar(&f.changes.Compute, "compute", 0, "time before a response begins (default: the shape's)")
}

func (f *shapeFlags) shape(c *cobra.Command) (inference.Shape, error) {
	shape, err := inference.ShapeNamed(f.name)
	if err != nil {
		return shape, err
	}
	var requestErr, responseErr error
	if f.request != "" {
		shape.Request, requestErr = parseRange("request", f.request)
	}
	if f.response != "" {
		shape.Response, responseErr = parseRange("response", f.response)
	}
	if c.Flags().Changed("token") {
		shape.Token = f.changes.Token
	}
	if c.Flags().Changed("token-rate") {
		shape.TokenRate = f.changes.TokenRate
	}
	if shape.Token == 0 && !c.Flags().Changed("token-rate") {
		shape.TokenRate = 0
	}
	if c.Flags().Changed("compute") {
		shape.Compute = f.changes.Compute
	}
	return shape, errors.Join(requestErr, responseErr)
}

// parseRange reads BYTES or MIN-MAX.
func parseRange(flag, s string) (inference.Range, error) {
	low, high, found := strings.Cut(s, "-")
	if !found {
		high = low
	}
	least, lowErr := strconv.ParseInt(low, 10, 64)
	most, highErr := strconv.ParseInt(high, 10, 64)
	if lowErr != nil || highErr != nil {
		return inference.Range{}, fmt.Errorf("%s: found %q (want BYTES or MIN-MAX)", flag, s)
	}
	return inference.Range{Min: least, Max: most}, nil
}

func printLoad(w io.Writer, report *inference.Report) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(plainTable())
	t.AppendHeader(table.Row{"Latency", "Count", "Mean", "p50", "p95", "p99", "Max"})
	for _, row := range []struct {
		name string
		l    arrival.Latency
	}{{"first byte", report.FirstByte}, {"per token", report.TPOT}, {"server's pace", report.Pace}, {"completion", report.Completion}} {
		if row.l.Count > 0 {
			values := table.Row{row.name, row.l.Count}
			for _, v := range []float64{row.l.Mean, row.l.P50, row.l.P95, row.l.P99, row.l.Max} {
				values = append(values, units.Format(v, "s"))
			}
			t.AppendRow(values)
		}
	}
	t.Render()
	fmt.Fprintf(w, "\n%.1f requests/s, %d failed; %.1f Mbit/s in (%d bytes), %.1f Mbit/s out (%d bytes)\n",
		report.Rate, report.Errors, report.PayloadRateIn/1e6, report.BytesIn, report.PayloadRateOut/1e6, report.BytesOut)
}

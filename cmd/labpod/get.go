package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/workload"
)

func newGetCommand(s streams) *cobra.Command {
	var o workload.GetOptions
	var out output
	var headers []string
	c := &cobra.Command{
		Use:     "get URL",
		Short:   "Request a URL over HTTP and report the response, and whom the server saw",
		Long:    "Request a URL over HTTP once or many times. Exit code 1 if a request got no response; any status counts as one.",
		Example: "  labpod get --count 10 -H 'X-Forwarded-For: 6.6.6.6' http://185.150.8.128:8080/",
		Args:    oneArg("URL"),
	}
	c.Flags().IntVar(&o.Count, "count", 1, "requests to make")
	c.Flags().IntVar(&o.Concurrency, "concurrency", workload.DefaultConcurrency, "requests in progress at the same time")
	c.Flags().DurationVar(&o.Timeout, "timeout", workload.DefaultTimeout, "time for one request")
	c.Flags().BoolVar(&o.KeepAlive, "keep-alive", false, "let requests share connections")
	c.Flags().StringArrayVarP(&headers, "header", "H", nil, "header to send, Name: value")
	dialer := registerSource(c)
	out.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var headerErr, sourceErr error
		o.URL = args[0]
		o.Header, headerErr = parseHeaders(headers)
		o.Dialer, sourceErr = dialer()
		err := errors.Join(headerErr, sourceErr, out.validate())
		if err == nil {
			err = o.Validate()
		}
		if err != nil {
			return usageError(err)
		}
		report, err := workload.Get(c.Context(), o)
		if writeErr := out.write(s.out, report, func(w io.Writer) { printGet(w, report) }); writeErr != nil {
			return writeErr
		}
		if err == nil && report.Outcomes[workload.OutcomeOK] < report.Count {
			err = fmt.Errorf("get %s: %d of %d without response", report.URL, report.Count-report.Outcomes[workload.OutcomeOK], report.Count)
		}
		return err
	}
	return c
}

func parseHeaders(lines []string) (http.Header, error) {
	headers := http.Header{}
	var errs []error
	for _, line := range lines {
		name, value, found := strings.Cut(line, ":")
		if !found || name == "" {
			errs = append(errs, fmt.Errorf("header: found %q (want Name: value)", line))
			continue
		}
		headers.Add(name, strings.TrimSpace(value))
	}
	return headers, errors.Join(errs...)
}

func printGet(w io.Writer, report *workload.GetReport) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(plainTable())
	t.AppendHeader(table.Row{"Status", "Local", "Seen", "Preserved", "Outcome", "First byte", "Total", "Bytes", "Error"})
	for _, one := range report.Responses {
		t.AppendRow(table.Row{one.Status, orNothing(one.Local), orNothing(one.Seen), one.Preserved, one.Outcome, inUnits(one.FirstByte), inUnits(one.Total), one.Bytes, one.Error})
	}
	t.Render()
}

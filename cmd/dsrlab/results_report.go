package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/report"
)

// reportOptions are the flags of results report.
type reportOptions struct{ format, file, chart, theme string }

func newResultsReportCommand(s streams, store func() results.Store) *cobra.Command {
	var o reportOptions
	command := &cobra.Command{
		Use: "report RUN...", Short: "Write the report of a run as Markdown, HTML, picture, CSV or JUnit XML (of several runs: JUnit)",
		Args: resultsArgs(cobra.MinimumNArgs(1)),
	}
	command.Flags().StringVar(&o.format, "format", "markdown", "markdown, html, svg, png, csv or junit")
	command.Flags().StringVarP(&o.file, "write", "w", "", "file to write to (default: standard output)")
	command.Flags().StringVar(&o.chart, "chart", "", "which picture, for svg and png (default: the first; an unknown name lists them)")
	command.Flags().StringVar(&o.theme, "theme", "light", "light or dark, for svg and png")
	command.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) > 1 && o.format != "junit" {
			return usageError(fmt.Errorf("format %s takes one run, got %d", o.format, len(args)))
		}
		var runs []*results.Run
		for _, arg := range args {
			run, err := store().Find(arg)
			if err != nil {
				return usageError(err)
			}
			runs = append(runs, run)
		}
		var buffer bytes.Buffer // so that a failure leaves no half of a file
		if err := o.render(&buffer, runs); err != nil {
			return err
		}
		if o.file == "" {
			_, err := buffer.WriteTo(s.out)
			return err
		}
		if err := os.WriteFile(o.file, buffer.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		return nil
	}
	return command
}

func (o reportOptions) render(w io.Writer, runs []*results.Run) error {
	switch o.format {
	case "markdown":
		return report.Markdown(w, runs[0])
	case "html":
		return report.HTML(w, runs[0])
	case "csv":
		return report.CSV(w, runs[0])
	case "junit":
		return report.JUnit(w, runs...)
	case "svg", "png":
		return o.picture(w, runs[0])
	default:
		return usageError(fmt.Errorf("--format: unknown format %q (want markdown, html, svg, png, csv or junit)", o.format))
	}
}

func (o reportOptions) picture(w io.Writer, run *results.Run) error {
	theme := report.Theme(o.theme)
	if theme != report.Light && theme != report.Dark {
		return usageError(fmt.Errorf("--theme: unknown theme %q (want light or dark)", o.theme))
	}
	charts := report.Charts(run)
	if len(charts) == 0 {
		return fmt.Errorf("draw %s: no metric has valid samples that differ between variants", run.Manifest.Run)
	}
	names := make([]string, len(charts))
	for i, chart := range charts {
		names[i] = chart.Name
	}
	i := 0
	if o.chart != "" {
		if i = slices.Index(names, o.chart); i < 0 {
			return usageError(fmt.Errorf("--chart: unknown chart %q (want %s)", o.chart, anyOf(names)))
		}
	}
	if o.format == "png" {
		return charts[i].PNG(w, theme)
	}
	return charts[i].SVG(w, theme)
}

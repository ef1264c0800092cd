package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/cmd/internal/usage"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/report"
)

// reportOptions are the flags of results report.
type reportOptions struct {
	format, file, chart, theme string
	all                        bool
}

func newResultsReportCommand(s streams, store func() results.Store) *cobra.Command {
	var o reportOptions
	command := &cobra.Command{
		Use: "report RUN... | --all", Short: "Write the report of a run as Markdown, HTML, slides, picture, CSV or JUnit XML (of several runs: JUnit)",
		Long: `Writes the report of a run: the lab's question, the answer with its figure, the picture that proves it, the evidence for each
claim, and then all that was recorded. HTML is one file that needs nothing else, and so is a deck of slides: open it in a browser.
S opens the speaker's notes in a window of their own, ? lists all keys, and printing it gives one slide per page.

--all writes one page or deck for all labs, with the table of slides 12 and 21, each cell linked to its evidence. It takes the latest
run of each lab that came to its end in --runs, and the reference run of a lab that was not run here.`,
		Example: `  dsrlab results report 02-throughput
  dsrlab results report 02-throughput --format slides --write talk.html
  dsrlab results report --all --format html --write labs.html`,
	}
	command.Flags().BoolVar(&o.all, "all", false, "one page or deck for the latest finished run of every lab (markdown, html or slides)")
	command.Flags().StringVar(&o.format, "format", "markdown", "markdown, html, slides, svg, png, csv or junit")
	command.Flags().StringVarP(&o.file, "write", "w", "", "file to write to (default: standard output)")
	command.Flags().StringVar(&o.chart, "chart", "", "which picture, for svg and png (default: the first; an unknown name lists them)")
	command.Flags().StringVar(&o.theme, "theme", "light", "light or dark, for svg and png; for svg also auto, which follows the reader")
	command.Args = resultsArgs(func(command *cobra.Command, args []string) error {
		if o.all {
			return usage.Args(cobra.NoArgs)(command, args)
		}
		return usage.Args(cobra.MinimumNArgs(1))(command, args)
	})
	command.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) > 1 && o.format != "junit" {
			return usageError(fmt.Errorf("format %s takes one run, got %d", o.format, len(args)))
		}
		var buffer bytes.Buffer // so that a failure leaves no half of a file
		if err := o.write(&buffer, store(), args); err != nil {
			return err
		}
		if o.file == "" {
			_, err := buffer.WriteTo(s.out)
			return err
		}
		if err := os.WriteFile(o.file, buffer.Bytes(), 0o644); err != nil {
			return outputError("write", o.file, err)
		}
		return nil
	}
	return command
}

// write renders the runs of names, or all labs.
func (o reportOptions) write(w io.Writer, store results.Store, names []string) error {
	if o.all {
		return o.renderAll(w, store)
	}
	var runs []*results.Run
	for _, name := range names {
		run, err := store.Find(name)
		if err != nil {
			return usageError(err)
		}
		runs = append(runs, run)
	}
	return o.render(w, runs)
}

// renderAll writes one page for all labs.
func (o reportOptions) renderAll(w io.Writer, store results.Store) error {
	render := report.AllMarkdown
	switch o.format {
	case "markdown":
	case "html":
		render = report.AllHTML
	case "slides":
		render = report.AllSlides
	default:
		return usageError(fmt.Errorf("--format: %s is of one run (want markdown, html or slides with --all)", o.format))
	}
	entries, err := store.Latest()
	if err != nil {
		return err
	}
	missing, err := labs.Catalogue()
	if err != nil {
		return err
	}
	var told []report.Told
	for _, entry := range entries {
		told = append(told, report.Told{Run: entry.Run, Story: labs.StoryOf(entry.Run), Reference: entry.Reference})
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == entry.Run.Manifest.Lab })
	}
	return render(w, told, missing)
}

func (o reportOptions) render(w io.Writer, runs []*results.Run) error {
	switch o.format {
	case "markdown":
		return report.Markdown(w, runs[0], labs.StoryOf(runs[0]))
	case "html":
		return report.HTML(w, runs[0], labs.StoryOf(runs[0]))
	case "slides":
		return report.Slides(w, runs[0], labs.StoryOf(runs[0]))
	case "csv":
		return report.CSV(w, runs[0])
	case "junit":
		return report.JUnit(w, runs...)
	case "svg", "png":
		return o.picture(w, runs[0])
	default:
		return usageError(fmt.Errorf("--format: unknown format %q (want markdown, html, slides, svg, png, csv or junit)", o.format))
	}
}

func (o reportOptions) picture(w io.Writer, run *results.Run) error {
	theme := report.Theme(o.theme)
	if theme != report.Light && theme != report.Dark && (theme != report.Auto || o.format != "svg") {
		return usageError(fmt.Errorf("--theme: unknown theme %q (want light or dark, or auto for svg)", o.theme))
	}
	charts := report.StoryCharts(run, labs.StoryOf(run))
	for _, chart := range report.Charts(run) {
		if !slices.ContainsFunc(charts, func(c report.Chart) bool { return c.Name == chart.Name }) {
			charts = append(charts, chart)
		}
	}
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

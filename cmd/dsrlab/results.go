package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/cmd/internal/usage"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/console"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/report"
)

// defaultRunsDir is where runs are recorded and looked for: beside what the user works on, and not in the home folder of
// whoever sudo made them.
const defaultRunsDir = "runs"

// newResultsCommand reads recorded runs. None of its commands changes a run.
func newResultsCommand(s streams) *cobra.Command {
	var dir string
	command := &cobra.Command{
		Use:   "results",
		Short: "List, show, compare and report recorded runs, and the verdicts on the talk's claims",
		Long: `Reads what "dsrlab lab run" and "dsrlab demo" recorded.

RUN is the path of a run's folder, the id of a run, the name of a lab (its latest run), or "latest"; of an id and of a name
the beginning will do, as in 06. Runs are looked for in the folder --runs, and then among the reference runs that come with
dsrlab; of these, a lab's name means the one on network namespaces.`,
	}
	command.PersistentFlags().StringVar(&dir, "runs", defaultRunsDir, "folder of recorded runs")
	command.PersistentFlags().StringVar(&dir, "dir", defaultRunsDir, "as --runs")
	_ = command.PersistentFlags().MarkHidden("dir") // what --runs was called here
	store := func() results.Store { return results.Store{Dir: dir, Reference: results.Reference()} }
	group(command,
		newResultsListCommand(s, store), newResultsShowCommand(s, store), newResultsCompareCommand(s, store),
		newResultsClaimsCommand(s, store, labs.Catalogue), newResultsReportCommand(s, store), newResultsTableCommand(s, store),
	)
	for _, c := range command.Commands() {
		c.RunE = withRunsDir(c.RunE)
	}
	return command
}

// withRunsDir refuses a folder of runs that was asked for and is none. Without a word about it there need be none yet.
func withRunsDir(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		for _, flag := range []string{"runs", "dir"} {
			if !cmd.Flags().Changed(flag) {
				continue
			}
			dir := valueOf(cmd, flag)
			info, err := os.Stat(dir)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return usageError(fmt.Errorf("--%s: there is no folder %s (want one that runs were recorded in, as by `dsrlab lab run --runs`)", flag, dir))
			case err != nil:
				return usageError(fmt.Errorf("--%s: %w", flag, err))
			case !info.IsDir():
				return usageError(fmt.Errorf("--%s: %s is a file (want a folder)", flag, dir))
			}
		}
		return run(cmd, args)
	}
}

// resultError gives the result of a run its exit code and message; nil if the run passed.
func resultError(summary results.Summary) error {
	reason := firstReason(summary)
	switch summary.Result {
	case results.Passed:
		return nil
	case results.Unsupported:
		return unsupportedError(fmt.Errorf("%s: this machine lacks something: %s", summary.Lab, reason))
	case results.Untested:
		return &exitError{exitUntested, fmt.Errorf("%s: untested, which is not passed: %s", summary.Lab, reason)}
	default:
		return &exitError{exitFailed, fmt.Errorf("%s: failed: %s", summary.Lab, reason)}
	}
}

// firstReason is the first of the run's reasons, and how many more `results show` has.
func firstReason(summary results.Summary) string {
	switch n := len(summary.Reasons); n {
	case 0:
		return "for no reason that was recorded"
	case 1:
		return summary.Reasons[0]
	default:
		return fmt.Sprintf("%s (and %d more reasons: dsrlab results show %s)", summary.Reasons[0], n-1, summary.Run)
	}
}

// resultsArgs checks the number of arguments as bad usage.
func resultsArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if err := check(command, args); err != nil {
			return usageError(err)
		}
		return nil
	}
}

// resultsFormat adds -o to a command and returns what prints a value in the chosen format.
func resultsFormat(s streams, command *cobra.Command) func(value any, asTable func(io.Writer)) error {
	format := command.Flags().StringP("output", "o", "table", "table, json or yaml")
	return func(value any, asTable func(io.Writer)) error {
		switch *format {
		case "table":
			asTable(s.out)
			return nil
		case "json":
			encoder := json.NewEncoder(s.out)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			return encoder.Encode(value)
		case "yaml":
			data, err := yaml.Marshal(value)
			if err != nil {
				return err
			}
			_, err = s.out.Write(data)
			return err
		default:
			return usageError(fmt.Errorf("--output: unknown format %q (want table, json or yaml)", *format))
		}
	}
}

// listedRun is a line of results list.
type listedRun struct {
	Run        string         `json:"run"`
	Lab        string         `json:"lab"`
	Substrate  string         `json:"substrate"`
	Started    time.Time      `json:"started"`
	Seconds    float64        `json:"seconds"` // 0: unfinished or interrupted
	State      results.State  `json:"state"`
	Result     results.Result `json:"result"`
	Reproduced int            `json:"reproduced"` // claims
	Claims     int            `json:"claims"`
	Valid      int            `json:"valid"` // samples
	Samples    int            `json:"samples"`
	Reference  bool           `json:"reference"`
	Error      string         `json:"error,omitempty"` // why the folder cannot be read
}

func newResultsListCommand(s streams, store func() results.Store) *cobra.Command {
	command := &cobra.Command{Use: "list", Short: "List recorded runs, newest first", Args: resultsArgs(cobra.NoArgs)}
	output := resultsFormat(s, command)
	command.RunE = func(*cobra.Command, []string) error {
		entries, err := store().List()
		if err != nil {
			return err
		}
		listed := make([]listedRun, 0, len(entries))
		for _, entry := range entries {
			listed = append(listed, listRun(entry))
		}
		return output(listed, func(w io.Writer) {
			t := terminal.NewTable(w, "RUN", "LAB", "ON", "STARTED", "TOOK", "RESULT", "CLAIMS", "SAMPLES", "FROM")
			t.Optional("LAB", "STARTED", "SAMPLES", "ON") // a run's name begins with the time and the lab
			for _, l := range listed {
				t.Row(l.row(w)...)
			}
			t.Render()
			for _, l := range listed {
				if l.Error != "" {
					fmt.Fprintf(w, "\n%s\n", terminal.Hang(l.Run+": ", l.Error, terminal.ColumnsOr(w, terminal.TableColumns)))
				}
			}
		})
	}
	return command
}

func listRun(entry results.Entry) listedRun {
	l := listedRun{Run: entry.Name, Reference: entry.Reference}
	if entry.Err != nil {
		l.Error = usage.Message(entry.Err)
		return l
	}
	m := entry.Run.Manifest
	summary := results.Verdicts(entry.Run)
	l.Lab, l.Substrate, l.Started, l.State, l.Result = m.Lab, m.On(), m.Started, entry.Run.State(), summary.Result
	if l.State == results.Finished {
		l.Seconds = m.Ended.Sub(m.Started).Seconds()
	}
	l.Claims, l.Samples = len(summary.Claims), len(entry.Run.Samples)
	for _, claim := range summary.Claims {
		if claim.Verdict == results.Reproduced {
			l.Reproduced++
		}
	}
	for _, sample := range entry.Run.Samples {
		if sample.Valid() {
			l.Valid++
		}
	}
	return l
}

func (l listedRun) row(w io.Writer) []any {
	if l.Error != "" {
		return []any{l.Run, "", "", "", "", "unreadable", "", "", ""}
	}
	took, from := string(l.State), "here"
	switch {
	case l.State == results.Finished && l.Seconds < 0:
		took = "unknown" // the clock was set back meanwhile
	case l.State == results.Finished:
		took = time.Duration(l.Seconds * float64(time.Second)).Round(time.Second).String()
	}
	if l.Reference {
		from = "reference"
	}
	return []any{
		l.Run, l.Lab, l.Substrate, l.Started.UTC().Format("2006-01-02 15:04:05"), took, console.Paint(w, string(l.Result)),
		fmt.Sprintf("%d/%d", l.Reproduced, l.Claims), fmt.Sprintf("%d/%d", l.Valid, l.Samples), from,
	}
}

func newResultsShowCommand(s streams, store func() results.Store) *cobra.Command {
	command := &cobra.Command{
		Use: "show RUN", Short: "Show what a run measured (-o json: its summary.json)", Args: resultsArgs(usage.Args(cobra.ExactArgs(1))),
	}
	output := resultsFormat(s, command)
	check := command.Flags().Bool("check", false, "exit as the run itself did: 0 passed, 1 failed or untested, 3 unsupported")
	command.RunE = func(_ *cobra.Command, args []string) error {
		run, err := store().Find(args[0])
		if err != nil {
			return usageError(err)
		}
		summary := results.Summarize(run)
		var shown error
		err = output(summary, func(w io.Writer) { shown = showRun(w, run, summary) })
		if err := errors.Join(err, shown); err != nil || !*check {
			return err
		}
		return resultError(summary)
	}
	return command
}

func showRun(w io.Writer, run *results.Run, summary results.Summary) error {
	m, columns := run.Manifest, terminal.ColumnsOr(w, terminal.TableColumns)
	fmt.Fprintf(w, "%s: %s\n", m.Run, console.Paint(w, string(summary.Result)))
	for _, reason := range summary.Reasons {
		fmt.Fprintln(w, terminal.Hang("  ", reason, columns))
	}
	fmt.Fprintln(w, terminal.Wrap(fmt.Sprintf("lab %s on %s, topology %s, kernel %s, %d × %s, started %s", m.Lab, m.On(), m.Topology.Name,
		run.Environment.Before.Kernel, run.Environment.Before.CPUs, run.Environment.Before.CPUModel, m.Started.UTC().Format(time.RFC3339)), columns))
	if m.ScaleReason != "" {
		fmt.Fprintln(w, terminal.Wrap(m.ScaleReason, columns))
	}
	if len(summary.Claims)+len(summary.Expectations) > 0 {
		fmt.Fprintln(w)
		if err := console.Verdicts(w, []results.Summary{summary}, console.VerdictOptions{Verbose: true}); err != nil {
			return err
		}
	}
	if len(summary.Metrics) > 0 {
		fmt.Fprintln(w)
		t := terminal.NewTable(w, "METRIC", "VARIANT", "LABELS", "MEDIAN", "95 % INTERVAL", "VALID")
		for _, metric := range summary.Metrics {
			t.Row(metric.Metric, metric.Variant, results.FormatLabels(metric.Labels), report.Median(metric), report.Interval(metric),
				fmt.Sprintf("%d/%d", metric.Valid, metric.N))
		}
		t.Render()
	}
	showInvalid(w, run)
	return nil
}

// showInvalid lists the samples that do not count.
func showInvalid(w io.Writer, run *results.Run) {
	t := terminal.NewTable(w, "DOES NOT COUNT", "VARIANT", "LABELS", "REPETITION", "WHY")
	invalid := 0
	for _, sample := range run.Samples {
		if !sample.Valid() {
			invalid++
			t.Row(sample.Metric, sample.Variant, results.FormatLabels(sample.Labels), sample.Repetition, sample.Invalid)
		}
	}
	if invalid > 0 {
		fmt.Fprintln(w)
		t.Render()
	}
}

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/cmd/internal/usage"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
)

// tableLab is the lab that measures the table.
const tableLab = "07-full-picture"

func newResultsTableCommand(s streams, store func() results.Store) *cobra.Command {
	command := &cobra.Command{
		Use: "table [RUN]", Short: "Show the table of slides 12 and 21 as a run measured it (default: the latest of " + tableLab + ")",
		Args: resultsArgs(usage.Args(cobra.MaximumNArgs(1))),
	}
	output := resultsFormat(s, command)
	command.RunE = func(_ *cobra.Command, args []string) error {
		name := tableLab
		if len(args) > 0 {
			name = args[0]
		}
		run, err := store().Find(name)
		if err != nil {
			return usageError(err)
		}
		measured, err := results.TableOf(run)
		if err != nil {
			return usageError(err)
		}
		return output(measured, func(w io.Writer) { showTable(w, measured) })
	}
	return command
}

func showTable(w io.Writer, t results.Table) {
	shown := terminal.NewTable(w, append([]string{"APPROACH"}, t.Columns...)...)
	var notes []string
	for _, r := range t.Rows {
		row := []any{r.Approach}
		for _, column := range t.Columns {
			cell := r.Cells[column]
			row = append(row, cell.String())
			if cell.Why != "" {
				notes = append(notes, fmt.Sprintf("%s, %s (expectation %s): %s", r.Approach, column, cell.Expectation, cell.Why))
			}
		}
		shown.Row(row...)
	}
	shown.Render()
	fmt.Fprintf(w, "\nFrom run %s.\n", t.Run)
	for _, note := range notes {
		fmt.Fprintln(w, terminal.Wrap(note, terminal.ColumnsOr(w, terminal.TableColumns)))
	}
}

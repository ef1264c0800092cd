package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/cmd/internal/usage"
	"github.com/dsrlab/dsrlab/dataplane/explain"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// newExplainCommand explains the data path's reasons.
func newExplainCommand(s streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "explain [REASON]", Short: "Explain what happened to a packet: what a reason means, its cause, and what to do about it",
		Long: `REASON is the data path's name for what it did to a packet, as "dsrlab observe", "dsrlab trace" and "dsrlab metrics" print it;
without one, all are listed. TROUBLESHOOTING.md leads from symptoms to reasons.`,
		Args: func(cmd *cobra.Command, args []string) error {
			return asUsage(usage.Args(cobra.MaximumNArgs(1))(cmd, args))
		},
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := explain.Reasons()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return printAs(s.out, output, all, func(w io.Writer) { reasonsTable(w, all) })
			}
			name := explain.Canonical(args[0])
			i := slices.IndexFunc(all, func(r explain.Reason) bool { return r.Name == name })
			if i < 0 {
				return usageError(fmt.Errorf("unknown reason %q%s", args[0], manifest.Suggest(name, reasonNames())))
			}
			return printAs(s.out, output, all[i], func(w io.Writer) { explainReason(w, all[i]) })
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

func reasonNames() []string {
	all, err := explain.Reasons()
	if err != nil {
		return nil
	}
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.Name
	}
	return names
}

func reasonsTable(w io.Writer, all []explain.Reason) {
	t := terminal.NewTable(w, "REASON", "VERDICT", "MEANING")
	for _, r := range all {
		t.Row(r.Name, r.Verdict, r.Meaning)
	}
	t.Render()
}

func explainReason(w io.Writer, r explain.Reason) {
	columns := terminal.ColumnsOr(w, terminal.TableColumns)
	seen := ""
	if r.Lab != "" {
		seen = "sudo dsrlab lab run " + r.Lab
	}
	fmt.Fprintf(w, "%s (%s)\n\n", r.Name, r.Verdict)
	for _, part := range []struct{ label, text string }{
		{"Meaning:  ", r.Meaning}, {"Cause:    ", r.Cause}, {"Remedy:   ", r.Remedy},
		{"Counter:  ", r.Counter}, {"See it:   ", seen},
	} {
		if part.text != "" {
			fmt.Fprintln(w, terminal.Hang(part.label, part.text, columns))
		}
	}
}

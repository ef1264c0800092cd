package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/console"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
)

// newResultsClaimsCommand lists the talk's claims. catalogue lists the labs that there are.
func newResultsClaimsCommand(s streams, store func() results.Store, catalogue func() ([]string, error)) *cobra.Command {
	command := &cobra.Command{
		Use: "claims", Short: "List the talk's claims with the verdicts of the latest runs", Args: resultsArgs(cobra.NoArgs),
		Long: `Lists every claim of the talk with the verdict of the latest finished runs that check it: those recorded in --runs, and the
reference runs where nothing was recorded. A verdict is reproduced, differs or not measured. Of several labs that
check a claim, and of several substrates, the verdict that says most counts, so that none hides another that differs. Runs that
were broken on purpose (lab run --fault) don't count.

Exits with 1 if a claim has no lab that could check it. A claim that differs or was not measured is no error.`,
	}
	output := resultsFormat(s, command)
	verbose := command.Flags().BoolP("verbose", "v", false, "also print what each claim says, the run that its verdict comes from, and the evidence")
	command.RunE = func(*cobra.Command, []string) error {
		claims, err := results.LoadClaims()
		if err != nil {
			return err
		}
		names, err := catalogue()
		if err != nil {
			return err
		}
		entries, err := store().List()
		if err != nil {
			return err
		}
		statuses := results.ClaimStatuses(claims, entries)
		if err := output(statuses, func(w io.Writer) { claimsTable(w, statuses, *verbose) }); err != nil {
			return err
		}
		return withoutLab(claims.WithoutLab(names))
	}
	return command
}

// claimsTable has a line for each claim; verbose, also what the claim says, the run, and its evidence.
func claimsTable(w io.Writer, statuses []results.ClaimStatus, verbose bool) {
	t := terminal.NewTable(w, "CLAIM", "VERDICT", "FIGURES")
	if verbose {
		t.Spaced()
	}
	reference := 0
	for _, status := range statuses {
		if status.Reference {
			reference++
		}
		figures := terminal.Parts(status.Headlines)
		if len(figures) == 0 {
			figures = terminal.Parts{"no run checks it: dsrlab lab run " + status.Lab}
		}
		if !verbose {
			t.Row(status.ID, console.Paint(w, status.Verdict), figures)
			continue
		}
		lines := []string{status.Text, figures.String(), "slide " + status.Slide + ", lab " + status.Lab + ", " + status.Variant}
		if status.Run != "" {
			lines = append(lines, "run "+status.Run+map[bool]string{true: " (reference)"}[status.Reference], status.Evidence)
		}
		t.Row(status.ID, console.Paint(w, status.Verdict), strings.Join(lines, "\n"))
	}
	t.Render()
	if reference > 0 && !verbose {
		fmt.Fprintf(w, "\n%s\n", terminal.Wrap(fmt.Sprintf("%d of %d verdicts come from the reference runs, for want of runs of your own; -v names each run.",
			reference, len(statuses)), terminal.ColumnsOr(w, terminal.TableColumns)))
	}
}

// withoutLab names the claims that nothing can check; nil if there are none.
func withoutLab(claims results.Claims) error {
	if len(claims) == 0 {
		return nil
	}
	var names []string
	for _, claim := range claims {
		names = append(names, fmt.Sprintf("%s (%s)", claim.ID, claim.Lab))
	}
	return &exitError{exitFailed, fmt.Errorf("claims without a lab that checks them: %s", strings.Join(names, ", "))}
}

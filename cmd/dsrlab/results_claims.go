package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/results"
)

// newResultsClaimsCommand lists the talk's claims. catalogue lists the labs that there are.
func newResultsClaimsCommand(s streams, store func() results.Store, catalogue func() ([]string, error)) *cobra.Command {
	command := &cobra.Command{
		Use: "claims", Short: "List the talk's claims with the verdicts of the latest runs", Args: resultsArgs(cobra.NoArgs),
		Long: `Lists every claim of the talk with the verdict of the latest finished runs that check it: those recorded in --dir, and the
reference runs where nothing was recorded. A verdict is reproduced, differs, not applicable, or untested. Of several labs that
check a claim, and of several substrates, the verdict that says most counts, so that none hides another that differs. Runs that
were broken on purpose (lab run --fault) don't count.

Exits with 1 if a claim has no lab that could check it. A claim that is untested or differs is no error.`,
	}
	output := resultsFormat(s, command)
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
		if err := output(statuses, func(w io.Writer) { claimsTable(w, statuses) }); err != nil {
			return err
		}
		return withoutLab(claims.WithoutLab(names))
	}
	return command
}

func claimsTable(w io.Writer, statuses []results.ClaimStatus) {
	var rows []table.Row
	for _, status := range statuses {
		run := status.Run
		if status.Reference {
			run += " (reference)"
		}
		rows = append(rows, table.Row{
			status.ID, status.Slide, status.Lab, text.WrapSoft(status.Variant, 20), status.Verdict, run, text.WrapSoft(status.Text, 50),
		})
	}
	resultsTable(w, table.Row{"CLAIM", "SLIDE", "LAB", "VARIANT", "VERDICT", "RUN", "WHAT IT SAYS"}, rows)
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

package console

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// VerdictOptions selects what Verdicts prints.
type VerdictOptions struct {
	// Verbose adds the evidence of every expectation.
	Verbose bool
	// All lists the talk's other claims, too, as not measured.
	All bool
}

// Verdicts prints what runs found: those that did not pass, each claim that they checked in one line, and what they
// expected beyond the talk's claims.
func Verdicts(w io.Writer, summaries []results.Summary, o VerdictOptions) error {
	claims, err := results.LoadClaims()
	if err != nil {
		return err
	}
	if len(summaries) > 1 {
		notPassed(w, summaries)
	}
	t := terminal.NewTable(w, "CLAIM", "VERDICT", "FIGURES")
	if o.Verbose {
		t.Spaced()
	}
	row := func(id, verdict string, headlines []string, about func(results.ExpectationOutcome) bool) {
		figures := terminal.Parts(headlines)
		if !o.Verbose {
			t.Row(id, Paint(w, verdict), figures)
			return
		}
		lines := append([]string{figures.String()}, evidenceOf(summaries, about)...)
		t.Row(id, Paint(w, verdict), strings.Join(lines, "\n"))
	}
	merged := results.MergeClaims(claims, summaries)
	for _, claim := range claims {
		i := slices.IndexFunc(merged, func(v results.ClaimVerdict) bool { return v.ID == claim.ID })
		switch {
		case i >= 0:
			row(claim.ID, merged[i].Verdict.Words(), merged[i].Headlines,
				func(e results.ExpectationOutcome) bool { return slices.Contains(e.Claims, claim.ID) })
		case o.All:
			row(claim.ID, results.NotMeasured.Words(), []string{unchecked(claim)}, nil)
		}
	}
	for _, s := range summaries {
		if len(s.Unclaimed) == 0 {
			continue
		}
		number, _, _ := strings.Cut(s.Lab, "-")
		row("lab "+number, string(unclaimed(s)), s.Unclaimed, func(e results.ExpectationOutcome) bool { return len(e.Claims) == 0 })
	}
	t.Render()
	return nil
}

// evidenceOf returns the evidence of selected expectations of runs, one line each.
func evidenceOf(summaries []results.Summary, about func(results.ExpectationOutcome) bool) []string {
	var lines []string
	for _, s := range summaries {
		for _, e := range s.Expectations {
			if about == nil || !about(e) {
				continue
			}
			line := "- " + e.Evidence
			if !strings.HasPrefix(e.Evidence, e.Text) {
				line = fmt.Sprintf("- %s: %s", e.Text, e.Evidence)
			}
			if e.Differs != "" && e.Outcome == results.Held {
				line += ". " + e.Differs
			}
			if e.Outcome != results.Held {
				line += fmt.Sprintf(" (%s)", e.Outcome)
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// unclaimed returns the worst outcome of what a run expected beyond the talk's claims.
func unclaimed(s results.Summary) results.Outcome {
	worst := results.Held
	for _, e := range s.Expectations {
		if len(e.Claims) == 0 && (e.Outcome == results.Broken || e.Outcome == results.NotRun && worst == results.Held) {
			worst = e.Outcome
		}
	}
	return worst
}

// notPassed prints the runs that did not pass, with the reason, in one line each.
func notPassed(w io.Writer, summaries []results.Summary) {
	t := terminal.NewTable(w, "NOT PASSED", "RESULT", "WHY")
	failed := 0
	for _, s := range summaries {
		if s.Result == results.Passed {
			continue
		}
		failed++
		t.Row(s.Lab, Paint(w, string(s.Result)), terminal.Parts(s.Reasons))
	}
	fmt.Fprintf(w, "%d of %d labs passed\n\n", len(summaries)-failed, len(summaries))
	if failed > 0 {
		t.Render()
		fmt.Fprintln(w)
	}
}

// unchecked returns why none of the runs checks a claim.
func unchecked(claim results.Claim) string {
	lab, err := labs.Lookup(claim.Lab)
	if err != nil {
		return "no lab checks it"
	}
	var only topologies.SubstrateKind
	for _, e := range lab.Spec.Expectations {
		if !slices.Contains(e.Claims, claim.ID) {
			continue
		}
		if only = e.Substrate; only == "" {
			return "none of these labs checks it: " + claim.Lab + " does"
		}
	}
	return fmt.Sprintf("only on %s: lab run %s --substrate %s", only, claim.Lab, only)
}

// Paint colours the word for a result, a verdict or an outcome, if w shows colours.
func Paint(w io.Writer, word string) string { return paint(terminal.Colored(w), word) }

func paint(color bool, word string) string {
	if !color {
		return word
	}
	switch word {
	case string(results.Passed), string(results.Reproduced), string(results.Held):
		return text.FgGreen.Sprint(word)
	case string(results.Failed):
		return text.FgRed.Sprint(word)
	}
	return text.FgYellow.Sprint(word)
}

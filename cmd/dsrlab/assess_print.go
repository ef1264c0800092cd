package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/terminal"
)

// printAssessment prints a report for people: the answer, the findings, and the verdicts on pairs of nodes and on services.
func printAssessment(w io.Writer, r *assess.Report) {
	columns := terminal.ColumnsOr(w, terminal.TableColumns)
	say := func(label, text string) {
		if text != "" {
			fmt.Fprintln(w, terminal.Hang(label, text, columns))
		}
	}
	title := "Would DSR work"
	if r.Of != "" {
		title += " on " + r.Of
	}
	say("", title+"? "+r.Answer())
	if r.Provider != "" {
		say("", "The nodes run on "+r.Provider+".")
	}
	say("", r.Runs())
	for i := range r.Findings {
		fmt.Fprintln(w)
		printFinding(w, say, i+1, &r.Findings[i])
	}
	fmt.Fprintln(w)
	t := terminal.NewTable(w, "ENTERS", "ANSWERS", "VERDICT", "WHY")
	for _, p := range r.Pairs {
		t.Row(p.From, p.To, p.Verdict, strings.Join(p.Why, "; "))
	}
	t.Render()
	if len(r.Services) > 0 {
		fmt.Fprintln(w)
		printServices(w, r.Services)
	}
	printList(w, say, "What would be gained", r.GainLines())
	printList(w, say, "Nodes", r.NodeLines())
	printList(w, say, "Not known", r.Unknown)
	printList(w, say, "Could not be read", r.Unread)
}

// maxEvidence is how many lines of a finding's evidence are for the screen; the other formats have all.
const maxEvidence = 12

func printFinding(w io.Writer, say func(label, text string), n int, f *assess.Finding) {
	say(fmt.Sprintf("%d. ", n), f.Title()+": "+f.Meaning)
	say("   Hurts:       ", string(f.Hurts))
	say("   Found at:    ", f.Where()+" ("+strings.Join(f.Families, ", ")+")")
	label := "   Evidence:    "
	for i, e := range f.Evidence {
		if more := len(f.Evidence) - i; i == maxEvidence && more > 1 {
			say(label, fmt.Sprintf("and %d more lines (-o markdown)", more))
			break
		}
		say(label, e.String())
		label = "                "
	}
	say("   Consequence: ", f.Consequence)
	say("   Change:      ", f.Remedy)
	for _, c := range f.Commands {
		fmt.Fprintln(w, "                "+c) // whole, to be copied
	}
	say("   Documented:  ", f.Source)
	say("   See it:      ", f.LabCommand())
}

func printServices(w io.Writer, all []assess.ServiceVerdict) {
	t := terminal.NewTable(w, "SERVICE", "VERDICT", "WHY")
	for _, s := range all {
		t.Row(s.Name, s.Verdict, strings.Join(s.Why, "; "))
	}
	t.Render()
	fmt.Fprintln(w)
	t = terminal.NewTable(w, "SERVICE", "FIELD", "VALUE", "UNDER DSR")
	for _, s := range all {
		for _, e := range s.Effects {
			t.Row(s.Name, e.Field, e.Value, e.Effect)
		}
	}
	t.Render()
}

// printList prints the lines of a section, if there are any.
func printList[T any](w io.Writer, say func(label, text string), title string, lines []T) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for _, line := range lines {
		say("  ", fmt.Sprint(line))
	}
}

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/cmd/internal/usage"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/results/units"
	"github.com/dsrlab/dsrlab/topologies"
)

func newResultsCompareCommand(s streams, store func() results.Store) *cobra.Command {
	var across []string
	command := &cobra.Command{
		Use:   "compare A B | LAB --across SUBSTRATE,SUBSTRATE",
		Short: "Compare run B with run A: which metrics are better or worse; across substrates: do they agree?",
		Long: `Compares run B with run A and says of each metric whether it is better, worse, or whether no difference is shown, by how much, and
with which 95 % interval (Hodges-Lehmann). A difference is shown if the Mann-Whitney test says so in spite of the number of metrics
(Holm): two runs between which nothing differs show one in any metric in at most 5 % of comparisons. The last column is the number of
samples in each run with which a difference of --effect is found in 90 % of comparisons, given how much the metric scatters: record
runs with that many by lab run --repetitions. What changed between the two runs, as the load of the machine, is compared, too.

If A and B are runs of one lab on different substrates (netns, kind), it is told first whether parity holds: every claim has the same
verdict on both, and every expectation the same outcome. What was measured on neither is not the same; what can be checked on
one substrate only does not count. LAB --across netns,kind takes the lab's latest finished run on each of the two.

Exits with 1 if parity does not hold, with 0 if it does. Runs on one substrate may differ in anything: that is no error.`,
		Example: "  dsrlab results compare 01-source-ip --across netns,kind",
		Args: resultsArgs(func(command *cobra.Command, args []string) error {
			if command.Flags().Changed("across") {
				return usage.Args(cobra.ExactArgs(1))(command, args)
			}
			return usage.Args(cobra.ExactArgs(2))(command, args)
		}),
	}
	output := resultsFormat(s, command)
	effect := command.Flags().Float64("effect", results.DefaultEffect, "relative difference that the needed samples are told for")
	command.Flags().StringSliceVar(&across, "across", nil, "compare a lab's latest runs on these two substrates: netns,kind")
	command.RunE = func(command *cobra.Command, args []string) error {
		if *effect <= 0 || *effect >= 1 {
			return usageError(fmt.Errorf("--effect: found %g (want more than 0 and less than 1)", *effect))
		}
		find := func() ([]*results.Run, error) { return runsNamed(store(), args) }
		if command.Flags().Changed("across") {
			find = func() ([]*results.Run, error) { return runsAcross(store(), args[0], across) }
		}
		runs, err := find()
		if err != nil {
			return usageError(err)
		}
		comparison := results.Compare(runs[0], runs[1], *effect)
		if err := output(comparison, func(w io.Writer) { showComparison(w, comparison) }); err != nil {
			return err
		}
		if p := comparison.Parity; p != nil && !p.Holds {
			return &exitError{exitFailed, fmt.Errorf("%s: %s", runs[0].Manifest.Lab, p.Reason())}
		}
		return nil
	}
	return command
}

func runsNamed(store results.Store, names []string) ([]*results.Run, error) {
	var runs []*results.Run
	for _, name := range names {
		run, err := store.Find(name)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

// runsAcross are the latest runs of a lab on two substrates. The error names each that there is none on.
func runsAcross(store results.Store, lab string, substrates []string) ([]*results.Run, error) {
	known := []string{string(topologies.SubstrateNetns), string(topologies.SubstrateKindK)}
	for _, substrate := range substrates {
		if !slices.Contains(known, substrate) {
			return nil, fmt.Errorf("--across: unknown substrate %q (want %s)", substrate, anyOf(known))
		}
	}
	if len(substrates) != 2 || substrates[0] == substrates[1] {
		return nil, fmt.Errorf("--across: %s: want two different substrates, as in netns,kind", strings.Join(substrates, ","))
	}
	var runs []*results.Run
	var errs []error
	for _, substrate := range substrates {
		run, err := store.FindOn(lab, substrate)
		runs, errs = append(runs, run), append(errs, err)
	}
	return runs, errors.Join(errs...)
}

func showComparison(w io.Writer, c results.Comparison) {
	if p := c.Parity; p != nil {
		fmt.Fprintf(w, "%s\n\nA %s, on %s\nB %s, on %s\n", p.Text, c.A, p.A, c.B, p.B)
	} else {
		fmt.Fprintf(w, "A %s\nB %s\n", c.A, c.B)
	}
	if len(c.Conditions) > 0 {
		fmt.Fprintln(w, "\nThe runs were not made under the same conditions:")
		t := terminal.NewTable(w, "CONDITION", "A", "B")
		for _, condition := range c.Conditions {
			t.Row(condition.Name, condition.A, condition.B)
		}
		t.Render()
	}
	if c.Parity != nil {
		showParity(w, c)
	} else {
		showVerdicts(w, c.Claims)
	}
	showMetrics(w, c)
}

func showMetrics(w io.Writer, c results.Comparison) {
	found := map[results.Finding]int{}
	needed := fmt.Sprintf("FOR %g %%", c.Effect*100)
	t := terminal.NewTable(w, "METRIC", "VARIANT", "LABELS", "A", "B", "B AGAINST A", needed)
	t.Optional(needed)
	constant := 0
	for _, m := range c.Metrics {
		found[m.Finding]++
		if m.Constant() {
			constant++
			continue
		}
		samples := "–"
		if m.SamplesNeeded > 0 {
			samples = strconv.Itoa(m.SamplesNeeded)
		} else if m.Ratio != nil && min(m.SamplesA, m.SamplesB) > 1 {
			samples = fmt.Sprintf("over %d", stats.MostSamples)
		}
		t.Row(m.Metric, m.Variant, results.FormatLabels(m.Labels), median(m.A, m.Unit), median(m.B, m.Unit), m.Text, samples)
	}
	var counts []string
	for _, finding := range []results.Finding{
		results.Better, results.Worse, results.Higher, results.Lower, results.NoDifference, results.OnlyA, results.OnlyB,
	} {
		if found[finding] > 0 {
			counts = append(counts, fmt.Sprintf("%s: %d", finding, found[finding]))
		}
	}
	columns := terminal.ColumnsOr(w, terminal.TableColumns)
	text := c.Conclusion()
	if constant > 0 {
		text += fmt.Sprintf(" %d metrics have one value in both runs and are not listed.", constant)
	}
	fmt.Fprintf(w, "\n%s\n%s\n\n", terminal.Wrap(strings.Join(counts, ", ")+".", columns), terminal.Wrap(text, columns))
	t.Render()
}

func showVerdicts(w io.Writer, claims []results.ComparedClaim) {
	if len(claims) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := terminal.NewTable(w, "CLAIM", "A", "B")
	for _, claim := range claims {
		t.Row(claim.ID, claim.A, claim.B)
	}
	t.Render()
}

// showParity is what both substrates say of claims and expectations.
func showParity(w io.Writer, c results.Comparison) {
	claims := terminal.NewTable(w, "CLAIM", c.Parity.A, c.Parity.B, "SAME")
	expectations := terminal.NewTable(w, "EXPECTATION", c.Parity.A, c.Parity.B, "SAME", "WHAT IT SAYS")
	for _, one := range c.Claims {
		claims.Row(one.ID, orNone(string(one.A)), orNone(string(one.B)), same(one.Same, one.Only))
	}
	for _, one := range c.Parity.Expectations {
		expectations.Row(one.ID, orNone(string(one.A)), orNone(string(one.B)), same(one.Same, one.Only), one.Text)
	}
	fmt.Fprintln(w)
	claims.Render()
	fmt.Fprintln(w)
	expectations.Render()
}

func orNone(finding string) string { return cmp.Or(finding, "–") }

func same(same bool, only string) string {
	switch {
	case only != "":
		return "only on " + only
	case same:
		return "yes"
	default:
		return "no"
	}
}

func median(value *float64, unit string) string {
	if value == nil {
		return "–"
	}
	return units.Format(*value, unit)
}

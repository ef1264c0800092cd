package results

import (
	"fmt"
	"math"

	"github.com/dsrlab/dsrlab/results/stats"
)

// Finding is what a comparison of one metric says.
type Finding string

const (
	// Same means that the whole interval of the ratio lies within the margin around 1.
	Same Finding = "no material difference"
	// Higher and Lower mean that the whole interval lies beyond the margin: B is higher (lower) than A.
	Higher Finding = "higher"
	Lower  Finding = "lower"
	// Undecided means that the interval reaches across the margin: more repetitions would decide.
	Undecided Finding = "undecided"
	// OnlyA and OnlyB mean that the other run has no valid sample.
	OnlyA Finding = "only in A"
	OnlyB Finding = "only in B"
)

// DefaultMargin is the relative difference below which nothing is called material: that of the calibration of links.
const DefaultMargin = 0.05

// Comparison is run B seen from run A.
type Comparison struct {
	A string `json:"a"`
	B string `json:"b"`
	// Margin is the relative difference that counts as material.
	Margin float64 `json:"margin"`
	// Conditions that differ between the runs; a difference in the metrics may come from them.
	Conditions []Condition `json:"conditions"`
	// Parity is there where a lab was run on two substrates.
	Parity  *Parity          `json:"parity,omitempty"`
	Claims  []ComparedClaim  `json:"claims"`
	Metrics []ComparedMetric `json:"metrics"`
}

// Condition is something about the runs themselves that differs.
type Condition struct {
	Name string `json:"name"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// ComparedClaim is a claim that at least one of the runs checks; a verdict is empty where the run does not check it.
type ComparedClaim struct {
	ID string  `json:"id"`
	A  Verdict `json:"a"`
	B  Verdict `json:"b"`
	// Same is set if it was measured in both runs, with the same verdict.
	Same bool `json:"same"`
	// Only is the substrate that the claim can be checked on, where one of the runs was made on another.
	Only string `json:"only,omitempty"`
}

// ComparedMetric compares the medians of one metric of one variant under one set of labels.
type ComparedMetric struct {
	Variant string            `json:"variant"`
	Metric  string            `json:"metric"`
	Unit    string            `json:"unit"`
	Labels  map[string]string `json:"labels,omitempty"`
	A       *float64          `json:"a"` // median; null without a valid sample
	B       *float64          `json:"b"`
	// Ratio is B/A with its 95 % confidence interval; null where it is not defined.
	Ratio   *float64  `json:"ratio"`
	CI95    *Interval `json:"ci95"`
	Finding Finding   `json:"finding"`
	// Text is the finding as a sentence.
	Text string `json:"text"`
}

// Compare compares run b with run a. Margin is the relative difference that counts as material (0: DefaultMargin).
func Compare(a, b *Run, margin float64) Comparison {
	if margin <= 0 {
		margin = DefaultMargin
	}
	c := Comparison{
		A: a.Manifest.Run, B: b.Manifest.Run, Margin: margin,
		Conditions: conditions(a, b), Claims: compareClaims(a, b), Metrics: []ComparedMetric{},
	}
	if a.Manifest.Lab == b.Manifest.Lab && a.Manifest.On() != b.Manifest.On() {
		c.Parity = parityOf(a, b, c.Claims)
	}
	groupsA, groupsB := a.Groups(), b.Groups()
	for _, group := range groupsA {
		other, _ := findGroup(groupsB, group)
		c.Metrics = append(c.Metrics, compareGroups(group, other, a.Manifest.Seed^b.Manifest.Seed, margin))
	}
	for _, group := range groupsB {
		if _, ok := findGroup(groupsA, group); !ok {
			c.Metrics = append(c.Metrics, compareGroups(Group{}, group, 0, margin))
		}
	}
	return c
}

func findGroup(groups []Group, like Group) (Group, bool) {
	for _, g := range groups {
		if g.Metric == like.Metric && g.Unit == like.Unit && g.Variant == like.Variant && FormatLabels(g.Labels) == FormatLabels(like.Labels) {
			return g, true
		}
	}
	return Group{}, false
}

func compareGroups(a, b Group, seed uint64, margin float64) ComparedMetric {
	named := a
	if a.Metric == "" {
		named = b
	}
	m := ComparedMetric{Variant: named.Variant, Metric: named.Metric, Unit: named.Unit, Labels: named.Labels, Finding: Undecided}
	as, bs := a.Values(), b.Values()
	if len(as) > 0 {
		median := stats.Median(as)
		m.A = &median
	}
	if len(bs) > 0 {
		median := stats.Median(bs)
		m.B = &median
	}
	switch {
	case m.A == nil && m.B == nil:
		m.Text = "no valid sample in either run"
		return m
	case m.B == nil:
		m.Finding, m.Text = OnlyA, "no valid sample in B"
		return m
	case m.A == nil:
		m.Finding, m.Text = OnlyB, "no valid sample in A"
		return m
	}
	estimate, err := stats.Bootstrap{Seed: named.seed(seed)}.Ratio(bs, as)
	if err != nil {
		m.Finding, m.Text = compareZero(as, bs)
		return m
	}
	m.Ratio = &estimate.Value
	if estimate.HasInterval() {
		m.CI95 = &Interval{estimate.Lo, estimate.Hi}
	}
	m.Finding, m.Text = weigh(estimate, margin)
	return m
}

// compareZero compares where A's median is 0 and there is no ratio.
func compareZero(as, bs []float64) (Finding, string) {
	allZero := func(xs []float64) bool {
		return stats.Percentile(xs, 0) == 0 && stats.Percentile(xs, 100) == 0
	}
	switch {
	case allZero(as) && allZero(bs):
		return Same, "no material difference: 0 in both"
	case allZero(as) && stats.Percentile(bs, 0) > 0:
		return Higher, "0 in A, always above 0 in B"
	default:
		return Undecided, "not decided: the median of A is 0, so there is no ratio"
	}
}

func weigh(e stats.Estimate, margin float64) (Finding, string) {
	percent := func(ratio float64) string {
		tenths := math.Round((ratio - 1) * 1000)
		return fmt.Sprintf("%+.1f %%", (tenths+0)/10) // + 0 makes -0 a 0
	}
	if !e.HasInterval() {
		return Undecided, fmt.Sprintf("not decided: %s, but too few samples for an interval", percent(e.Value))
	}
	interval := fmt.Sprintf("%s (95 %% interval %s to %s)", percent(e.Value), percent(e.Lo), percent(e.Hi))
	switch {
	case e.Lo >= 1-margin && e.Hi <= 1+margin:
		return Same, "no material difference: " + interval
	case e.Lo > 1+margin:
		return Higher, "higher in B: " + interval
	case e.Hi < 1-margin:
		return Lower, "lower in B: " + interval
	default:
		return Undecided, fmt.Sprintf("not decided: %s, margin %g %%", interval, margin*100)
	}
}

func compareClaims(a, b *Run) []ComparedClaim {
	claims := []ComparedClaim{}
	verdictsB := Verdicts(b).Claims
	seen := map[string]bool{}
	for _, c := range Verdicts(a).Claims {
		compared := ComparedClaim{ID: c.ID, A: c.Verdict}
		for _, other := range verdictsB {
			if other.ID == c.ID {
				compared.B = other.Verdict
			}
		}
		if compared.B == "" {
			compared.Only = a.Manifest.only(c.ID)
		}
		compared.Same = compared.A == compared.B && compared.A != NotMeasured
		seen[c.ID] = true
		claims = append(claims, compared)
	}
	for _, c := range verdictsB {
		if !seen[c.ID] {
			claims = append(claims, ComparedClaim{ID: c.ID, B: c.Verdict, Only: b.Manifest.only(c.ID)})
		}
	}
	return claims
}

// conditions lists what differs between two runs apart from what they measured.
func conditions(a, b *Run) []Condition {
	differing := []Condition{}
	compare := func(name string, x, y any) {
		if one, other := fmt.Sprint(x), fmt.Sprint(y); one != other {
			differing = append(differing, Condition{name, one, other})
		}
	}
	ma, mb, ea, eb := a.Manifest, b.Manifest, a.Environment.Before, b.Environment.Before
	compare("substrate", ma.On(), mb.On()) // first: it explains most of the others
	compare("lab", ma.Lab, mb.Lab)
	compare("broken on purpose", FormatLabels(ma.Faults), FormatLabels(mb.Faults))
	compare("topology", ma.Topology.Name, mb.Topology.Name)
	compare("topology hash", ma.Topology.Hash, mb.Topology.Hash)
	compare("revision", ma.Revision.Commit, mb.Revision.Commit)
	compare("state", a.State(), b.State())
	compare("kernel", ea.Kernel, eb.Kernel)
	compare("CPU", ea.CPUModel, eb.CPUModel)
	compare("CPUs", ea.CPUs, eb.CPUs)
	compare("memory", ea.MemoryTotal, eb.MemoryTotal)
	compare("congestion control", ea.Congestion, eb.Congestion)
	compare("Go", ea.GoVersion, eb.GoVersion)
	for _, name := range recordedSysctls() {
		compare(name, ea.Sysctls[name], eb.Sysctls[name])
	}
	return differing
}

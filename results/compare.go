package results

import "fmt"

// Finding is what a comparison of one metric says.
type Finding string

const (
	// Better and Worse mean that the test shows a difference: B is better (worse) than A.
	Better Finding = "better"
	Worse  Finding = "worse"
	// Higher and Lower are the same of a metric of which neither more nor less is better in itself.
	Higher Finding = "higher"
	Lower  Finding = "lower"
	// NoDifference means that the test shows none. There may be one that is too small for this many samples.
	NoDifference Finding = "no difference shown"
	// OnlyA and OnlyB mean that the other run has no valid sample.
	OnlyA Finding = "only in A"
	OnlyB Finding = "only in B"
)

// DefaultEffect is the relative difference that SamplesNeeded is about.
const DefaultEffect = 0.03

// falseReports is the probability, at most, that a comparison of two runs that don't differ reports a difference in any metric.
const falseReports = 0.05

// Comparison is run B seen from run A.
type Comparison struct {
	A   string `json:"a"`
	B   string `json:"b"`
	Lab string `json:"lab"` // of A
	// Effect is the relative difference that SamplesNeeded is about.
	Effect float64 `json:"effect"`
	// Varying counts the metrics with different values in the runs. All of them are tested, and the test of each is the
	// stricter, the more there are: two equal runs shall show a difference in any of them in at most 5 % of comparisons.
	Varying int `json:"varying"`
	// FewestSamples is how many samples of a metric each run must have so that all of them together can show any difference.
	FewestSamples int `json:"fewestSamples"`
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

// ComparedMetric compares one metric of one variant under one set of labels. Several samples of a repetition enter by their
// median: they are not independent of each other.
type ComparedMetric struct {
	Variant  string            `json:"variant"`
	Metric   string            `json:"metric"`
	Unit     string            `json:"unit"`
	Labels   map[string]string `json:"labels,omitempty"`
	A        *float64          `json:"a"` // median; null without a valid sample
	B        *float64          `json:"b"`
	SamplesA int               `json:"samplesA"`
	SamplesB int               `json:"samplesB"`
	// Ratio is B/A, as Hodges and Lehmann estimate it, with its 95 % confidence interval. Where a value is 0 or below there is
	// no ratio, and Difference is B-A.
	Ratio      *float64  `json:"ratio"`
	Difference *float64  `json:"difference,omitempty"`
	CI95       *Interval `json:"ci95"`
	// P is the p-value of the Mann-Whitney test of this metric alone.
	P *float64 `json:"p"`
	// SamplesNeeded is how many samples each run must have so that a difference of Comparison.Effect is found in at least 90 %
	// of comparisons, if they scatter as these do; 0 if that cannot be said, or if it is more than stats.MostSamples.
	SamplesNeeded int     `json:"samplesNeeded,omitempty"`
	Finding       Finding `json:"finding"`
	// Text is the finding as a sentence.
	Text string `json:"text"`
}

// Compare compares run b with run a. Effect is the relative difference that SamplesNeeded is about (0: it is
// not looked for, which takes longer than all else).
func Compare(a, b *Run, effect float64) Comparison {
	c := Comparison{
		A: a.Manifest.Run, B: b.Manifest.Run, Lab: a.Manifest.Lab, Effect: effect,
		Conditions: conditions(a, b), Claims: compareClaims(a, b), Metrics: []ComparedMetric{},
	}
	if a.Manifest.Lab == b.Manifest.Lab && a.Manifest.On() != b.Manifest.On() {
		c.Parity = parityOf(a, b, c.Claims)
	}
	groupsA, groupsB := a.Groups(), b.Groups()
	var pairs []groupPair
	for _, group := range groupsA {
		other, _ := findGroup(groupsB, group)
		pairs = append(pairs, groupPair{group, other})
	}
	for _, group := range groupsB {
		if _, ok := findGroup(groupsA, group); !ok {
			pairs = append(pairs, groupPair{Group{}, group})
		}
	}
	c.compareMetrics(pairs, a.Manifest.Seed^b.Manifest.Seed)
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

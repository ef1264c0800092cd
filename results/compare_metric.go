package results

import (
	"fmt"
	"math"
	"slices"

	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/results/units"
)

// groupPair is a metric of one variant under one set of labels in both runs; a group is empty if its run has none.
type groupPair struct{ a, b Group }

func (p groupPair) named() Group {
	if p.a.Metric == "" {
		return p.b
	}
	return p.a
}

// compareMetrics compares all metrics: first each on its own, and then which of the differences are shown, given their number.
func (c *Comparison) compareMetrics(pairs []groupPair, seed uint64) {
	var tests []stats.Test
	var values [][2][]float64
	for _, pair := range pairs {
		as, bs := pair.a.byRepetition(), pair.b.byRepetition()
		test := stats.MannWhitney(as, bs)
		if len(as) > 0 && len(bs) > 0 && !constant(slices.Concat(as, bs)) {
			c.Varying++
		}
		tests, values = append(tests, test), append(values, [2][]float64{as, bs})
	}
	level := falseReports / float64(max(c.Varying, 1))
	c.FewestSamples = stats.FewestSamples(level)
	shown := stats.Rejected(tests, falseReports)
	for i, pair := range pairs {
		named := pair.named()
		m := ComparedMetric{Variant: named.Variant, Metric: named.Metric, Unit: named.Unit, Labels: named.Labels}
		m.compare(values[i][0], values[i][1], tests[i], shown[i])
		if c.Effect > 0 && m.Ratio != nil && len(values[i][0]) > 1 && len(values[i][1]) > 1 {
			m.SamplesNeeded = stats.SamplesToFind(c.Effect, level, named.seed(seed), values[i][0], values[i][1])
		}
		c.Metrics = append(c.Metrics, m)
	}
}

// byRepetition are the medians of the repetitions' valid samples.
func (g Group) byRepetition() []float64 {
	repetitions := map[int][]float64{}
	var order []int
	for _, s := range g.Samples {
		if !s.Valid() {
			continue
		}
		if _, known := repetitions[s.Repetition]; !known {
			order = append(order, s.Repetition)
		}
		repetitions[s.Repetition] = append(repetitions[s.Repetition], s.Value)
	}
	values := make([]float64, 0, len(order))
	for _, repetition := range order {
		values = append(values, stats.Median(repetitions[repetition]))
	}
	return values
}

// Constant reports whether all samples of both runs have one value.
func (m ComparedMetric) Constant() bool { return m.A != nil && m.B != nil && m.P == nil }

func constant(values []float64) bool { return slices.Min(values) == slices.Max(values) }

func (m *ComparedMetric) compare(as, bs []float64, test stats.Test, shown bool) {
	m.SamplesA, m.SamplesB = len(as), len(bs)
	if len(as) > 0 {
		median := stats.Median(as)
		m.A = &median
	}
	if len(bs) > 0 {
		median := stats.Median(bs)
		m.B = &median
	}
	m.Finding = NoDifference
	switch {
	case m.A == nil && m.B == nil:
		m.Text = "no valid sample in either run"
		return
	case m.B == nil:
		m.Finding, m.Text = OnlyA, "no valid sample in B"
		return
	case m.A == nil:
		m.Finding, m.Text = OnlyB, "no valid sample in A"
		return
	case constant(slices.Concat(as, bs)):
		m.Text = "no difference shown: always " + units.Format(*m.A, m.Unit)
		return
	}
	m.P = &test.P
	figures, above := m.estimate(as, bs)
	if shown {
		m.Finding = m.direction(above)
	}
	m.Text = fmt.Sprintf("%s: %s", m.Finding, figures)
}

// estimate sets by how much B is above A and returns it in words, and whether it is above at all.
func (m *ComparedMetric) estimate(as, bs []float64) (figures string, above bool) {
	e := stats.Shift(as, bs)
	zero, format := 0.0, m.formatDifference
	if slices.Min(as) > 0 && slices.Min(bs) > 0 {
		e, zero, format = stats.RatioShift(as, bs), 1, formatRatio
		m.Ratio = &e.Value
	} else {
		m.Difference = &e.Value
	}
	figures = format(e.Value)
	if e.HasInterval() {
		m.CI95 = &Interval{e.Lo, e.Hi}
		figures += fmt.Sprintf(" (95 %% interval %s to %s)", format(e.Lo), format(e.Hi))
	} else {
		figures += fmt.Sprintf(" (too few samples for an interval: %d and %d)", len(as), len(bs))
	}
	return figures, e.Value > zero || e.Value == zero && stats.Mean(bs) > stats.Mean(as)
}

func (m *ComparedMetric) direction(above bool) Finding {
	good := DescribeMetric(m.Metric).Good
	switch {
	case good == Neutral && above:
		return Higher
	case good == Neutral:
		return Lower
	case above == (good == MoreIsBetter):
		return Better
	default:
		return Worse
	}
}

func formatRatio(ratio float64) string {
	tenths := math.Round((ratio-1)*1000) + 0 // + 0 makes -0 a 0
	return fmt.Sprintf("%+.1f %%", tenths/10)
}

func (m *ComparedMetric) formatDifference(difference float64) string {
	sign := "+"
	if difference < 0 {
		sign = "-"
	}
	return sign + units.Format(math.Abs(difference), m.Unit)
}

// Conclusion says what the number of samples allows, as sentences for people.
func (c Comparison) Conclusion() string {
	text := fmt.Sprintf("%d metrics vary. A difference is reported only if it is shown in spite of their number: two equal runs show one in "+
		"at most %g %% of comparisons.", c.Varying, falseReports*100)
	fewest, most := 0, 0
	for _, m := range c.Metrics {
		if m.P == nil {
			continue
		}
		n := min(m.SamplesA, m.SamplesB)
		if most == 0 || n < fewest {
			fewest = n
		}
		most = max(most, n)
	}
	switch {
	case c.Varying > 0 && most < c.FewestSamples:
		has := fmt.Sprint(fewest)
		if most > fewest {
			has = fmt.Sprintf("%d to %d", fewest, most)
		}
		text += fmt.Sprintf(" The runs have %s samples of each, and it takes %d of each to show a difference in any: "+
			"dsrlab lab run %s --repetitions %d.", has, c.FewestSamples, c.Lab, c.FewestSamples)
	case c.Varying > 0 && fewest < c.FewestSamples:
		text += fmt.Sprintf(" Where the runs have fewer than %d samples of each, none can be shown.", c.FewestSamples)
	}
	return text
}

package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot/plotter"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/units"
)

// delivered and retransmits are the metrics of series that are drawn together.
const (
	delivered   = "delivered"
	retransmits = "retransmits"
)

// curve is a line of steps: it has the value of a corner from there on, until the next one.
type curve struct {
	name    string
	path    dataPath
	corners plotter.XYs // in the units of the chart; the last one is where it ends
}

// at is the value of the curve; not ok before it begins and after its end.
func (c curve) at(x float64) (y float64, ok bool) {
	for _, corner := range c.corners {
		if corner.X > x {
			break
		}
		y, ok = corner.Y, true
	}
	return y, ok && x <= c.corners[len(c.corners)-1].X
}

// drawSeries makes the chart of what was recorded over time, or as a distribution: of each variant one curve. It is not ok if the run has no
// series that count, as those that were recorded before there were any.
func (p Picture) drawSeries(run *results.Run) (Chart, bool) {
	groups := p.seriesGroups(run, p.Metrics[0])
	if len(groups) == 0 {
		return Chart{}, false
	}
	chart := Chart{Name: p.Name, Title: p.Title, xTitle: "seconds"}
	switch groups[0].of[0].Kind {
	case results.Amounts:
		chart.addAmounts(groups, groups[0].of[0].Unit)
		chart.Caption = "What came in each interval, as a rate"
		if again := chosen(p.seriesGroups(run, retransmits), groups); anything(again) && p.Metrics[0] == delivered {
			chart.below = &Chart{Title: "Segments sent again", xTitle: chart.xTitle}
			chart.below.addAmounts(again, again[0].of[0].Unit)
			chart.below.Title += " (" + chart.below.scale.Name + ")"
		}
		chart.Caption += repeated(groups, " of the median total")
	case results.Levels:
		for _, g := range groups {
			s := g.median()
			corners := plotter.XYs{}
			for i, value := range s.Values {
				corners = append(corners, plotter.XY{X: s.At[i], Y: value})
			}
			chart.curves = append(chart.curves, g.curve(corners))
		}
		chart.scale = units.Scale{Divisor: 1, Name: groups[0].of[0].Unit}
		chart.Caption = "How many there were at each moment" + repeated(groups, " with the median in sum")
	case results.Distribution:
		chart.addDistributions(groups)
	}
	if chart.scale.Name != "" {
		chart.Title += " (" + chart.scale.Name + ")"
	}
	for _, m := range p.Marks {
		at := m.At / chart.scale.Divisor
		if p.Metrics[0] == delivered {
			at *= factor(run.Manifest.Scale)
		}
		chart.marks = append(chart.marks, mark{at, m.Text, m.Right})
	}
	return chart, true
}

// seriesGroup are the series of one metric of one variant under one set of labels, all repetitions of it.
type seriesGroup struct {
	results.Group
	name string
	of   []results.Series
}

// seriesGroups are those that the picture is about and that count, in its order.
func (p Picture) seriesGroups(run *results.Run, metric string) []seriesGroup {
	var groups []seriesGroup
	for _, s := range run.Series {
		g := results.Group{Variant: s.Variant, Metric: s.Metric, Unit: s.Unit, Labels: s.Labels}
		if s.Metric != metric || !s.Valid() || len(p.Variants) > 0 && !slices.Contains(p.Variants, s.Variant) || len(p.Labels) > 0 && p.set(g) < 0 {
			continue
		}
		i := slices.IndexFunc(groups, func(o seriesGroup) bool {
			return o.Variant == s.Variant && results.FormatLabels(o.Labels) == results.FormatLabels(s.Labels)
		})
		if i < 0 {
			i = len(groups)
			groups = append(groups, seriesGroup{Group: g})
		}
		groups[i].of = append(groups[i].of, s)
	}
	variants := p.Variants
	if len(variants) == 0 {
		variants = run.Manifest.Variants
	}
	slices.SortStableFunc(groups, func(a, b seriesGroup) int {
		return cmp.Or(slices.Index(variants, a.Variant)-slices.Index(variants, b.Variant), p.set(a.Group)-p.set(b.Group))
	})
	var all []results.Group
	for _, g := range groups {
		all = append(all, g.Group)
	}
	for i, g := range groups {
		if set := p.set(g.Group); set >= 0 && set < len(p.Names) {
			groups[i].name = named(g.Variant, p.Names[set])
		} else {
			groups[i].name = named(g.Variant, labelWords(g.Labels, common(all)...))
		}
	}
	return groups
}

// median is the repetition whose sum is the median; of an even number that of the two in the middle which is less.
func (g seriesGroup) median() results.Series {
	ordered := slices.SortedStableFunc(slices.Values(g.of), func(a, b results.Series) int { return cmp.Compare(sum(a), sum(b)) })
	return ordered[(len(ordered)-1)/2]
}

func (g seriesGroup) curve(corners plotter.XYs) curve {
	return curve{g.name, pathOf(g.Variant), corners}
}

func sum(s results.Series) (total float64) {
	for _, v := range s.Values {
		total += v
	}
	return total
}

// chosen keeps of each group the series that was measured with the one that is drawn of another group.
func chosen(groups, drawn []seriesGroup) []seriesGroup {
	var kept []seriesGroup
	for _, d := range drawn {
		m := d.median()
		for _, g := range groups {
			of := slices.IndexFunc(g.of, func(s results.Series) bool { return s.Repetition == m.Repetition && slices.Equal(s.At, m.At) })
			if g.name == d.name && of >= 0 {
				g.of = g.of[of : of+1]
				kept = append(kept, g)
			}
		}
	}
	return kept
}

// anything reports whether there was anything to count.
func anything(groups []seriesGroup) bool {
	return slices.ContainsFunc(groups, func(g seriesGroup) bool {
		return slices.ContainsFunc(g.of, func(s results.Series) bool { return sum(s) > 0 })
	})
}

// repeated ends a caption: which repetition is drawn, where there are several.
func repeated(groups []seriesGroup, which string) string {
	if slices.ContainsFunc(groups, func(g seriesGroup) bool { return len(g.of) > 1 }) {
		return "; of each variant the repetition" + which + "."
	}
	return "."
}

// addAmounts adds a curve for each group: the rate of what came in each interval. Bytes become bits.
func (c *Chart) addAmounts(groups []seriesGroup, unit string) {
	factor, unit := 1.0, unit+"/s"
	if unit == "B/s" {
		factor, unit = 8, "bit/s"
	}
	largest := 0.0
	for _, g := range groups {
		s := g.median()
		corners, from := plotter.XYs{}, 0.0
		for i, amount := range s.Values {
			rate := factor * amount / (s.At[i] - from)
			corners, from, largest = append(corners, plotter.XY{X: from, Y: rate}), s.At[i], max(largest, rate)
		}
		corners = append(corners, plotter.XY{X: from, Y: corners[len(corners)-1].Y})
		c.curves = append(c.curves, g.curve(corners))
	}
	c.scale = units.ScaleFor(unit, largest)
	for _, curve := range c.curves {
		for i := range curve.corners {
			curve.corners[i].Y /= c.scale.Divisor
		}
	}
}

// addDistributions adds a curve for each group: which share of all values of all repetitions is at most so large.
func (c *Chart) addDistributions(groups []seriesGroup) {
	largest := 0.0
	least, most := math.MaxInt, 0
	for _, g := range groups {
		count := 0
		for _, s := range g.of {
			largest = max(largest, s.Values[len(s.Values)-1])
			count += s.Count
		}
		least, most = min(least, count), max(most, count)
	}
	x := units.ScaleFor(groups[0].of[0].Unit, largest)
	for _, g := range groups {
		var values []float64
		for _, s := range g.of {
			values = append(values, s.Values...)
		}
		slices.Sort(values)
		corners := plotter.XYs{{X: values[0] / x.Divisor}}
		for i, value := range values {
			corners = append(corners, plotter.XY{X: value / x.Divisor, Y: 100 * float64(i+1) / float64(len(values))})
		}
		c.curves = append(c.curves, g.curve(corners))
	}
	c.scale, c.xTitle = units.Scale{Divisor: 1, Name: "%"}, x.Name
	counted := fmt.Sprint(least)
	if most > least {
		counted += fmt.Sprintf(" to %d", most)
	}
	c.Caption = "Which share was done by then: all repetitions together, " + counted + " values of each line."
}

// ticksOf are moments, or shares, at which a table says what the curves are.
func (c Chart) ticksOf() (columns []string, value func(curve, int) string) {
	if c.xIsValue() {
		shares := []float64{0, 25, 50, 75, 95, 100}
		for _, share := range shares {
			columns = append(columns, units.Number(share)+" %")
		}
		return columns, func(of curve, i int) string {
			for _, corner := range of.corners[1:] {
				if corner.Y >= shares[i]-1e-9 {
					return units.Number(corner.X)
				}
			}
			return ""
		}
	}
	last := 0.0
	for _, of := range c.curves {
		last = max(last, of.corners[len(of.corners)-1].X)
	}
	if last == 0 {
		return nil, nil
	}
	const parts = 6
	precision := math.Pow(10, 2-math.Floor(math.Log10(last)))
	moments := make([]float64, parts)
	for i := range moments {
		moments[i] = math.Round(last*(float64(i)+0.5)/parts*precision) / precision
		columns = append(columns, units.Number(moments[i])+" s")
	}
	return columns, func(of curve, i int) string {
		if y, ok := of.at(moments[i]); ok {
			return units.Number(y)
		}
		return ""
	}
}

// xIsValue reports whether the chart is one of distributions, whose shares stand on the other axis.
func (c Chart) xIsValue() bool { return c.xTitle != "seconds" }

package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/units"
)

// Chart is one picture of a run: a metric by variant as bars, or swept over a label as lines, or what was recorded over time.
type Chart struct {
	// Name is unique in the run, as in payload_rate or payload_rate-by-queue.
	Name string
	// Title for people, and Caption that says what the marks mean.
	Title, Caption string

	scale       units.Scale
	bars        []point
	spans       []span
	percentiles []string // of the spans, in words
	lines       []line
	curves      []curve
	below       *Chart // of curves, too: over the same seconds, with the same names
	marks       []mark
	walk        *Walk // alone
	yLog        bool
	xTitle      string
	xLog        bool
	xTicks      []tick
	size        vg.Point // of the picture, if it is not that of a page
}

// point is a summarised group; its values are in the unit of the run.
type point struct {
	name    string
	variant string
	x       float64
	median  float64
	ci      *results.Interval
	values  []float64
}

type line struct {
	name   string
	path   dataPath
	points []point
}

type tick struct {
	at   float64
	text string
}

// Charts chooses what to draw of a run: first payload rate, then every other metric in which something differs.
func Charts(run *results.Run) []Chart {
	// Cells are shown as a table, and how well links were calibrated is no finding.
	metrics := slices.DeleteFunc(run.Metrics(), func(m string) bool { return m == "cell" || m == "link_calibration" })
	slices.SortStableFunc(metrics, func(a, b string) int { return rank(a) - rank(b) })
	var charts []Chart
	groups := run.Groups()
	for _, metric := range metrics {
		var of []results.Group
		var without []string
		for _, group := range groups {
			switch {
			case group.Metric != metric:
			case len(group.Values()) > 0:
				of = append(of, group)
			default:
				without = append(without, fullName(group))
			}
		}
		first := len(charts)
		label, positions := sweep(of)
		var plain, swept []results.Group
		for _, group := range of {
			if _, ok := group.Labels[label]; ok && label != "" {
				swept = append(swept, group)
			} else {
				plain = append(plain, group)
			}
		}
		if chart, ok := barChart(plain, run.Manifest.Seed); ok {
			charts = append(charts, chart)
		}
		if len(swept) > 0 {
			charts = append(charts, lineChart(swept, run.Manifest.Seed, label, positions, func(g results.Group) string {
				return named(g.Variant, labelWords(g.Labels, label))
			}))
		}
		for i := first; i < len(charts) && len(without) > 0; i++ {
			charts[i].Caption += " Not drawn, without a valid sample: " + strings.Join(without, ", ") + "."
		}
	}
	return charts
}

func rank(metric string) int {
	if metric == "payload_rate" {
		return 0
	}
	return 1
}

// barChart draws groups by variant; not ok if there is nothing to compare.
func barChart(groups []results.Group, seed uint64) (Chart, bool) {
	medians := map[float64]bool{}
	for _, group := range groups {
		medians[*group.Summarize(seed).Median] = true
	}
	if len(medians) < 2 {
		return Chart{}, false
	}
	return bars(groups, seed, fullName), true
}

// bars draws groups, one or more.
func bars(groups []results.Group, seed uint64, name func(results.Group) string) Chart {
	chart := Chart{}
	largest := 0.0
	for _, group := range groups {
		p := summarised(group, seed)
		p.name = name(group)
		chart.bars = append(chart.bars, p)
		largest = max(largest, p.median)
	}
	chart.scale = results.ScaleFor(groups[0].Metric, groups[0].Unit, largest)
	chart.Name = groups[0].Metric
	chart.Title = titled(groups[0].Metric, chart.scale)
	chart.Caption = "Bars: median. Dots: single valid samples." + whiskerCaption(chart.bars)
	return chart
}

// named is the name of a variant with more words.
func named(variant, words string) string {
	if words == "" {
		return variant
	}
	return variant + ", " + words
}

// labelWords are labels as people read them, as in "burst 3100b, limit police", but those that are hidden.
func labelWords(labels map[string]string, hidden ...string) string {
	var words []string
	for _, key := range sortedKeys(labels) {
		if !slices.Contains(hidden, key) {
			words = append(words, key+" "+labels[key])
		}
	}
	return strings.Join(words, ", ")
}

// fullName is the variant of a group with all of its labels.
func fullName(g results.Group) string { return named(g.Variant, labelWords(g.Labels)) }

// lineChart draws groups over the numeric values of a label.
func lineChart(groups []results.Group, seed uint64, label string, positions map[string]float64, nameOf func(results.Group) string) Chart {
	chart := Chart{xTitle: label, Name: groups[0].Metric + "-by-" + label}
	largest := 0.0
	for _, group := range groups {
		name := nameOf(group)
		i := slices.IndexFunc(chart.lines, func(l line) bool { return l.name == name })
		if i < 0 {
			i = len(chart.lines)
			chart.lines = append(chart.lines, line{name: name, path: pathOf(group.Variant)})
		}
		p := summarised(group, seed)
		p.x = positions[group.Labels[label]]
		chart.lines[i].points = append(chart.lines[i].points, p)
		largest = max(largest, p.median)
	}
	for _, l := range chart.lines {
		slices.SortFunc(l.points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	}
	for text, at := range positions {
		chart.xTicks = append(chart.xTicks, tick{at, text})
	}
	slices.SortFunc(chart.xTicks, func(a, b tick) int { return cmp.Compare(a.at, b.at) })
	first, last := chart.xTicks[0], chart.xTicks[len(chart.xTicks)-1]
	_, counted := strconv.ParseFloat(last.text, 64) // numbers of pods, say: what grows with them must look as if it did
	chart.xLog = first.at > 0 && last.at/first.at >= 8 && counted != nil
	chart.scale = results.ScaleFor(groups[0].Metric, groups[0].Unit, largest)
	chart.Title = titled(groups[0].Metric, chart.scale) + " by " + label
	var points []point
	for _, l := range chart.lines {
		points = append(points, l.points...)
	}
	chart.Caption = "Points: median." + whiskerCaption(points)
	return chart
}

// firm is how many samples an interval must rest on to be drawn: one of fewer looks firmer than it is.
const firm = 4

func summarised(group results.Group, seed uint64) point {
	m := group.Summarize(seed)
	p := point{variant: group.Variant, median: *m.Median, values: group.Values()}
	if len(p.values) >= firm {
		p.ci = m.CI95
	}
	return p
}

// whiskerCaption says what the whiskers are, or why there are none.
func whiskerCaption(points []point) string {
	with := 0
	for _, p := range points {
		if p.ci != nil {
			with++
		}
	}
	switch {
	case with == 0:
		return fmt.Sprintf(" No intervals: no median rests on %d samples or more.", firm)
	case with < len(points):
		return fmt.Sprintf(" Whiskers: 95 %% interval of the median, where it rests on %d samples or more.", firm)
	}
	return " Whiskers: 95 % interval of the median."
}

func titled(metric string, s units.Scale) string {
	title := results.DescribeMetric(metric).Title
	if s.Name == "" {
		return title
	}
	return title + " (" + s.Name + ")"
}

// sweep finds the label over which groups were swept: at least three values, all of them numbers of one unit. It returns
// the position of each value.
func sweep(groups []results.Group) (label string, positions map[string]float64) {
	values := map[string]map[string]bool{}
	for _, group := range groups {
		for key, value := range group.Labels {
			if values[key] == nil {
				values[key] = map[string]bool{}
			}
			values[key][value] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if len(values[key]) < 3 {
			continue
		}
		positions, ok := map[string]float64{}, true
		for value := range values[key] {
			at, err := quantity(value)
			ok = ok && err == nil
			positions[value] = at
		}
		if ok {
			return key, positions
		}
	}
	return "", nil
}

// quantity reads a number with a unit as topologies write them: 64kb (k is 1024), 100mbit (m is a million), 10ms, 8.
func quantity(text string) (float64, error) {
	factors := map[string]float64{
		"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9,
		"us": 1e-6, "ms": 1e-3, "s": 1, "%": 1,
	}
	parts := regexp.MustCompile(`^([0-9.]+) ?([a-z%]*)$`).FindStringSubmatch(strings.ToLower(text))
	if parts == nil {
		return math.NaN(), strconv.ErrSyntax
	}
	factor, ok := factors[parts[2]]
	if !ok {
		return math.NaN(), strconv.ErrSyntax
	}
	value, err := strconv.ParseFloat(parts[1], 64)
	return value * factor, err
}

package report

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
)

// Story is what a lab says of a run of it. All of it may be empty: of a run whose lab is not known, the report says what the run says.
type Story struct {
	// Title and Question are the lab's.
	Title, Question string
	// Answer is a sentence with the run's figures. It is shown of a run that passed only.
	Answer string
	// Pictures are those that the lab chose, the one that proves the answer first.
	Pictures []Picture
	// Walks are those that the run's captures show.
	Walks []Walk
}

// Picture is a chart that a lab chooses for its reports: bars by variant, or lines over a label (over), or spans of percentiles
// (more than one metric), or what was recorded over time or as a distribution (series), or a request on its way (walk).
type Picture struct {
	// Name is unique in the lab; results report --chart takes it.
	Name string `json:"name"`
	// Title stands above the picture; its unit is added.
	Title string `json:"title"`
	// Metrics are one, or percentiles of one thing from the lowest to the highest; none for a walk.
	Metrics []string `json:"metrics,omitempty"`
	// Variants that are drawn, in this order (default: all).
	Variants []string `json:"variants,omitempty"`
	// Labels that samples must have, and no others but that of Over; of several sets one suffices (default: any labels).
	Labels []map[string]string `json:"labels,omitempty"`
	// Names are what the sets of labels are called in the picture (default: the labels).
	Names []string `json:"names,omitempty"`
	// Series draws what was recorded over time, or how it is distributed, of the one metric, as of delivered (with what was sent again below
	// it). Runs that were recorded before there was any have no such picture.
	Series bool `json:"series,omitempty"`
	// Walk is a phase that captures: of each variant the way of one request and its reply through the nodes is drawn. Its pictures are called
	// as this one with the variant's name, as in walk-dsr. Runs without captures have no such pictures.
	Walk string `json:"walk,omitempty"`
	// Over is a label whose values are numbers with units.
	Over string `json:"over,omitempty"`
	// Default is the value of Over for samples that have none.
	Default string `json:"default,omitempty"`
	// Log is for values that are worlds apart: their axis is logarithmic.
	Log bool `json:"log,omitempty"`
	// Marks are values to compare with.
	Marks []Mark `json:"marks,omitempty"`
}

// Mark is a value to compare with, as a slide's figure or what a port carries.
type Mark struct {
	// At is in the unit of the metric; rates follow the scale of the run.
	At   float64 `json:"at"`
	Text string  `json:"text"`
	// Right puts the text over lines at their right end, where the left one is crowded.
	Right bool `json:"right,omitempty"`
}

// StoryCharts draws the pictures that a lab chose; without any it is Charts.
func StoryCharts(run *results.Run, story Story) []Chart {
	var charts []Chart
	for _, picture := range story.Pictures {
		if picture.Walk != "" {
			charts = append(charts, picture.walkCharts(story.Walks)...)
		} else if chart, ok := picture.draw(run); ok {
			charts = append(charts, chart)
		}
	}
	if len(charts) == 0 {
		return Charts(run)
	}
	return charts
}

// draw makes the chart of the picture; not ok if the run has no sample for it.
func (p Picture) draw(run *results.Run) (Chart, bool) {
	if p.Series {
		return p.drawSeries(run)
	}
	groups := p.groups(run)
	if len(groups) == 0 {
		return Chart{}, false
	}
	seed := run.Manifest.Seed
	var chart Chart
	hidden := common(groups)
	if p.Over != "" {
		hidden = append(hidden, p.Over)
	}
	name := func(g results.Group) string {
		if i := p.set(g); i >= 0 && i < len(p.Names) {
			return named(g.Variant, p.Names[i])
		}
		return named(g.Variant, labelWords(g.Labels, hidden...))
	}
	switch {
	case len(p.Metrics) > 1:
		chart = spansChart(groups, p.Metrics, name)
	case p.Over != "":
		positions := map[string]float64{}
		for i, group := range groups {
			if _, ok := group.Labels[p.Over]; !ok {
				groups[i].Labels = maps.Clone(group.Labels)
				if groups[i].Labels == nil {
					groups[i].Labels = map[string]string{}
				}
				groups[i].Labels[p.Over] = p.Default
			}
			at, err := quantity(groups[i].Labels[p.Over])
			if err != nil {
				return Chart{}, false
			}
			positions[groups[i].Labels[p.Over]] = at
		}
		if len(positions) < 2 {
			return Chart{}, false
		}
		chart = lineChart(groups, seed, p.Over, positions, name)
	default:
		chart = bars(groups, seed, name)
	}
	chart.Name, chart.Title = p.Name, p.Title
	if chart.scale.Name != "" {
		chart.Title += " (" + chart.scale.Name + ")"
	}
	chart.yLog = p.Log && len(chart.lines) > 0 && positive(chart.lines)
	for _, m := range p.Marks {
		at := m.At
		if groups[0].Unit == "bit/s" {
			at *= factor(run.Manifest.Scale)
		}
		chart.marks = append(chart.marks, mark{at / chart.scale.Divisor, m.Text, m.Right})
	}
	return chart, true
}

// groups are those with valid samples that the picture is about, variants in its order.
func (p Picture) groups(run *results.Run) []results.Group {
	of := slices.DeleteFunc(run.Groups(), func(g results.Group) bool {
		return !slices.Contains(p.Metrics, g.Metric) || len(g.Values()) == 0 || len(p.Variants) > 0 && !slices.Contains(p.Variants, g.Variant) ||
			len(p.Labels) > 0 && p.set(g) < 0
	})
	if p.Over != "" && p.Default == "" {
		of = slices.DeleteFunc(of, func(g results.Group) bool { return g.Labels[p.Over] == "" })
	}
	slices.SortStableFunc(of, func(a, b results.Group) int {
		if d := slices.Index(p.Variants, a.Variant) - slices.Index(p.Variants, b.Variant); d != 0 {
			return d
		}
		if a.Variant == b.Variant {
			return p.set(a) - p.set(b)
		}
		return 0
	})
	return of
}

// set is the index of the set of labels that a group has.
func (p Picture) set(g results.Group) int {
	rest := maps.Clone(g.Labels)
	delete(rest, p.Over)
	return slices.IndexFunc(p.Labels, func(want map[string]string) bool { return maps.Equal(want, rest) })
}

// common are the labels that all groups have with one value: they tell none from another.
func common(groups []results.Group) []string {
	var names []string
	for _, name := range sortedKeys(groups[0].Labels) {
		if !slices.ContainsFunc(groups, func(g results.Group) bool { return g.Labels[name] != groups[0].Labels[name] }) {
			names = append(names, name)
		}
	}
	return names
}

// positive reports whether a logarithmic axis has room for all points.
func positive(lines []line) bool {
	for _, l := range lines {
		if slices.ContainsFunc(l.points, func(p point) bool { return p.median <= 0 || p.ci != nil && p.ci[0] <= 0 }) {
			return false
		}
	}
	return true
}

// spansChart draws for each variant and set of labels the medians of several percentiles.
func spansChart(groups []results.Group, metrics []string, nameOf func(results.Group) string) Chart {
	chart := Chart{}
	largest := 0.0
	for _, group := range groups {
		name := nameOf(group)
		i := slices.IndexFunc(chart.spans, func(s span) bool { return s.name == name })
		if i < 0 {
			i = len(chart.spans)
			chart.spans = append(chart.spans, span{name: name, variant: group.Variant})
		}
		median := stats.Median(group.Values())
		chart.spans[i].values = append(chart.spans[i].values, median)
		largest = max(largest, median)
	}
	chart.scale = results.ScaleFor(groups[0].Metric, groups[0].Unit, largest)
	for _, metric := range metrics {
		_, words, _ := strings.Cut(results.DescribeMetric(metric).Title, ", ")
		chart.percentiles = append(chart.percentiles, words)
	}
	chart.Caption = "Marks, from the left: " + strings.Join(chart.percentiles, ", ") + "; each is the median of the repetitions. " +
		"Nothing is known between them. The number is the last one."
	return chart
}

// answer is one sentence: the lab's if the run passed, otherwise what was found instead, or why nothing was.
func (s Story) answer(run *results.Run, summary results.Summary) string {
	var answer string
	switch {
	case summary.Result == results.Failed:
		answer = "Not as expected: " + strings.Join(headlines(run, summary, results.Differs), "; ")
	case summary.Result != results.Passed:
		return "Not answered: the run is " + string(summary.Result) + "."
	case s.Answer != "":
		answer = s.Answer
	default:
		answer = strings.Join(headlines(run, summary, ""), "; ")
	}
	if answer != "" && run.Manifest.Scaled() {
		answer = strings.TrimSuffix(answer, ".") + " (with the links at " + run.Manifest.Scale + " of their rates)."
	}
	return answer
}

// headlines are the first headline of each of three claims of a verdict, or of any; without claims that of the first expectation.
func headlines(run *results.Run, summary results.Summary, verdict results.Verdict) []string {
	var lines []string
	for _, c := range summary.Claims {
		of := c.Headlines
		if run.Manifest.Scaled() && len(of) > 1 {
			of = of[1:] // the first one is the scale
		}
		if len(of) > 0 && len(lines) < 3 && (verdict == "" || c.Verdict == verdict) {
			lines = append(lines, of[0])
		}
	}
	if len(lines) == 0 && len(summary.Unclaimed) > 0 {
		lines = summary.Unclaimed[:1]
	}
	return lines
}

// factor is the scale of a run as a number; 1 for one that cannot be read.
func factor(scale string) float64 {
	above, below, found := strings.Cut(scale, "/")
	a, err := strconv.ParseFloat(above, 64)
	if !found || err != nil {
		return 1
	}
	if b, err := strconv.ParseFloat(below, 64); err == nil && b > 0 {
		return a / b
	}
	return 1
}

package results

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/results/units"
)

// Headlines are what a line about some expectations says, in a few words each: first those that failed or did not run, then those
// that differ from the slide, then the others. Of those that held only the ones that have a headline count; if none has
// one, as in runs that were recorded before there were headlines, all do, with what was measured.
func (r *Run) Headlines(expectations []ExpectationOutcome, about func(ExpectationOutcome) bool) []string {
	var of []ExpectationOutcome
	for _, e := range expectations {
		if about(e) {
			of = append(of, e)
		}
	}
	given := slices.ContainsFunc(of, func(e ExpectationOutcome) bool { return e.Headline != "" })
	slices.SortStableFunc(of, func(a, b ExpectationOutcome) int { return b.urgency() - a.urgency() })
	var lines []string
	for _, e := range of {
		line := e.Headline
		if line == "" && (!given || e.Outcome != Held) {
			line = r.measuredFor(e)
		}
		if _, bound, found := strings.Cut(e.Evidence, "; expected "); found && e.Outcome == Broken {
			line += ", expected " + bound
		}
		if line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// urgency is how much of what a reader has to know an expectation says.
func (e ExpectationOutcome) urgency() int {
	switch {
	case e.Outcome == Broken:
		return 3
	case e.Outcome == NotRun:
		return 2
	case e.Differs != "":
		return 1
	}
	return 0
}

// measuredFor is the median of what an expectation is about, in words, as "dsr payload rate 940 Mbit/s".
func (r *Run) measuredFor(e ExpectationOutcome) string {
	if e.Metric == "" {
		return e.found()
	}
	what := e.Variant + " " + strings.ReplaceAll(e.Metric, "_", " ")
	var values []float64
	unit := ""
	for _, s := range r.Samples {
		if s.Variant == e.Variant && s.Metric == e.Metric && s.Valid() && maps.Equal(s.Labels, e.Labels) {
			values, unit = append(values, s.Value), s.Unit
		}
	}
	value := "not measured"
	if len(values) == 0 && e.Outcome == Held { // it is about more than one set of labels
		return e.found()
	}
	if len(values) > 0 {
		if value = units.Format(stats.Median(values), unit); unit == "ratio" {
			value = units.Percent(stats.Median(values))
		}
	}
	under := make([]string, 0, len(e.Labels))
	for _, name := range slices.Sorted(maps.Keys(e.Labels)) {
		under = append(under, e.Labels[name])
	}
	if len(under) == 0 {
		return what + " " + value
	}
	return fmt.Sprintf("%s (%s) %s", what, strings.Join(under, ", "), value)
}

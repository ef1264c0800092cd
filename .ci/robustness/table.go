package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// rowFormat has the columns of a table that is at most 100 columns wide.
const rowFormat = "  %-33s  %-26s  %-16s  %9s  %s\n"

// write prints a table for each lab, and what follows from all of them.
func (r *report) write(out io.Writer) {
	fmt.Fprintf(out, rowFormat, "EXPECTATION", "OBSERVED", "BOUND", "ROOM", "H/B/N")
	lab := ""
	for _, e := range r.Expectations {
		if e.Lab != lab {
			lab = e.Lab
			fmt.Fprintf(out, "\n%s: %s\n", lab, r.describeRuns(lab))
		}
		u := unitFor(e)
		fmt.Fprintf(out, rowFormat, e.ID, u.span(e.Min, e.Max), u.bound(e), e.describeRoom(), fmt.Sprintf("%d/%d/%d", e.Held, e.Broken, e.NotMeasured))
	}
	fmt.Fprint(out, `
ROOM   distance of the nearest value to its bound, in standard deviations of all values; "!": less
       than `, enoughRoom, `, or broken; "exact": the same value in each run
H/B/N  how often it held, was broken, and was not measured
Rates are at scale 1: those of a run at 1/2 count twice.

`)
	for _, d := range r.Summary.Disturbances {
		fmt.Fprintf(out, "%-8s  %d of %d runs passed%s\n", d.Name, d.Passed, d.Runs, describeScales(d.Scales))
	}
	s := r.Summary
	fmt.Fprintf(out, "\n%d expectations: %d exact, %d broken at least once, %d not measured at least once\n", s.Expectations, s.Exact, s.Broken, s.NotMeasured)
	if s.Tightest != nil {
		fmt.Fprintf(out, "least room: %.1f, %s of %s\n", *s.Tightest.Room, s.Tightest.ID, s.Tightest.Lab)
	}
}

// describeRuns is what became of the runs of one lab.
func (r *report) describeRuns(lab string) string {
	runs, outcomes, scales := 0, map[string]int{}, map[string]int{}
	for _, one := range r.Runs {
		if one.Lab != lab {
			continue
		}
		runs++
		if one.Result == "" {
			outcomes["without a result"]++
		} else {
			outcomes[string(one.Result)]++
		}
		if one.Scale != "" {
			scales[one.Scale]++
		}
	}
	var parts []string
	for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
		parts = append(parts, fmt.Sprintf("%d %s", outcomes[outcome], outcome))
	}
	return fmt.Sprintf("%d runs, %s%s", runs, strings.Join(parts, ", "), describeScales(scales))
}

// describeScales is how many runs had which scale, the largest first.
func describeScales(scales map[string]int) string {
	var parts []string
	for _, scale := range slices.SortedFunc(maps.Keys(scales), func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) }) {
		parts = append(parts, fmt.Sprintf("%s (%d)", scale, scales[scale]))
	}
	if len(parts) == 0 {
		return ""
	}
	return "; at scale " + strings.Join(parts, ", ")
}

func (e *expectation) describeRoom() string {
	text := "-"
	switch {
	case e.Exact:
		text = "exact"
	case e.Room != nil:
		text = strconv.FormatFloat(*e.Room, 'f', 1, 64)
	case len(e.values) == 1:
		text = "one value"
	}
	if e.tight() {
		text += " !"
	}
	return text
}

// unit is how values are written for people.
type unit struct {
	name string
	// size is how many of the recorded unit it is.
	size float64
}

// unitFor is one in which the largest value or bound of an expectation has few digits.
func unitFor(e *expectation) unit {
	largest := 0.0
	for _, v := range []*float64{e.Min, e.Max, e.AtLeast, e.AtMost} {
		if v != nil {
			largest = max(largest, math.Abs(*v))
		}
	}
	switch {
	case e.Unit == "bit/s":
		return unit{"Mbit/s", 1e6}
	case e.Unit == "s" && largest < 1:
		return unit{"ms", 1e-3}
	case e.Unit == "B" && largest >= 1e6:
		return unit{"MB", 1e6}
	case e.Unit == "B" && largest >= 1e4:
		return unit{"kB", 1e3}
	case e.Unit == "ratio":
		return unit{"", 1}
	}
	return unit{e.Unit, 1}
}

// span is a range of values with their unit.
func (u unit) span(from, to *float64) string {
	if from == nil || to == nil {
		return "-"
	}
	text := u.format(*from)
	if high := u.format(*to); high != text {
		text += " to " + high
	}
	return strings.TrimSpace(text + " " + u.name)
}

// bound is what the values should be; its unit is theirs.
func (u unit) bound(e *expectation) string {
	switch {
	case e.AtLeast != nil && e.AtMost != nil:
		return u.format(*e.AtLeast) + " to " + u.format(*e.AtMost)
	case e.AtLeast != nil:
		return "≥ " + u.format(*e.AtLeast)
	default:
		return "≤ " + u.format(*e.AtMost)
	}
}

// format writes four digits, or as many as a whole number has.
func (u unit) format(v float64) string {
	v /= u.size
	if v == math.Trunc(v) && math.Abs(v) < 1e9 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

package present

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/expect"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/results/units"
)

// board has the figures of a phase: of one metric, the median of each variant, under each value of the phase's sweep.
type board struct {
	caption string
	unit    string
	percent bool
	rows    []row
}

// row is a bar of the board.
type row struct {
	variant, label string
	value          float64 // NaN: not measured yet
	n              int     // samples that the median rests on
	live           bool    // the rate of a transfer that runs now
}

// liveCaption is what a board shows that has nothing but the rate of a running transfer.
const liveCaption = "rate right now"

// boardOf makes the board for the current screen, from what the screens of its phase have measured. A board without rows has nothing to
// show.
func boardOf(lab *labs.Lab, screens []Screen, current *Screen) board {
	var phase []*Screen
	for i := range screens {
		if screens[i].Variant != "" && screens[i].Phase == current.Phase {
			phase = append(phase, &screens[i])
		}
	}
	live := current.State == Running && !math.IsNaN(current.Rate)
	b := board{caption: liveCaption, unit: "bit/s"}
	e := expectationShown(lab, phase, current.Swept)
	switch {
	case e != nil:
		b.caption = strings.ReplaceAll(e.Metric, "_", " ")
		if labels := results.FormatLabels(unswept(e.Labels, current.Swept)); labels != "" {
			b.caption += " (" + labels + ")"
		}
	case !live:
		return board{}
	}
	for _, s := range phase {
		rows := rowsOf(e, s)
		if e != nil && len(s.Samples) > 0 && len(rows) > 0 {
			b.unit = unitOf(e, s)
		}
		if s == current && live && b.unit == "bit/s" {
			rows = append(rows, row{variant: s.Variant, label: "now", value: current.Rate, live: true})
		}
		if len(rows) == 0 {
			rows = []row{{variant: s.Variant, value: math.NaN()}}
		}
		b.rows = append(b.rows, rows...)
	}
	b.percent = b.unit == "ratio" && lab != nil && e != nil && inPercent(lab, e.Metric)
	return b
}

// expectationShown chooses what a phase is looked at for: the first expectation with a headline that it has measured, or the first
// without one; nil if it has measured none.
func expectationShown(lab *labs.Lab, phase []*Screen, swept []string) *expect.Expectation {
	if lab == nil {
		return nil
	}
	measured := func(e *expect.Expectation) bool {
		return slices.ContainsFunc(phase, func(s *Screen) bool {
			return slices.ContainsFunc(s.Samples, func(sample results.Sample) bool { return isOf(e, sample, swept) })
		})
	}
	for _, headline := range []bool{true, false} {
		for i := range lab.Spec.Expectations {
			if e := &lab.Spec.Expectations[i]; (e.Headline != "") == headline && measured(e) {
				return e
			}
		}
	}
	return nil
}

// isOf reports whether a sample is of the expectation's metric and has its labels, those of the sweep left aside.
func isOf(e *expect.Expectation, s results.Sample, swept []string) bool {
	return s.Valid() && s.Metric == e.Metric && maps.Equal(unswept(e.Labels, swept), unswept(s.Labels, swept))
}

// unswept are labels without those of a sweep.
func unswept(labels map[string]string, swept []string) map[string]string {
	rest := maps.Clone(labels)
	maps.DeleteFunc(rest, func(key, _ string) bool { return slices.Contains(swept, key) })
	return rest
}

func unitOf(e *expect.Expectation, s *Screen) string {
	for _, sample := range s.Samples {
		if isOf(e, sample, s.Swept) {
			return sample.Unit
		}
	}
	return ""
}

// rowsOf are the medians of a screen, one for each value of the sweep.
func rowsOf(e *expect.Expectation, s *Screen) []row {
	if e == nil {
		return nil
	}
	var order []string
	values := map[string][]float64{}
	for _, sample := range s.Samples {
		if !isOf(e, sample, s.Swept) {
			continue
		}
		swept := maps.Clone(sample.Labels)
		maps.DeleteFunc(swept, func(key, _ string) bool { return !slices.Contains(s.Swept, key) })
		label := results.FormatLabels(swept)
		if _, ok := values[label]; !ok {
			order = append(order, label)
		}
		values[label] = append(values[label], sample.Value)
	}
	var rows []row
	for _, label := range order {
		rows = append(rows, row{variant: s.Variant, label: label, value: stats.Median(values[label]), n: len(values[label])})
	}
	return rows
}

// inPercent reports whether the lab's headlines tell a metric in per cent.
func inPercent(lab *labs.Lab, metric string) bool {
	told := func(placeholder string) bool {
		return slices.ContainsFunc(lab.Spec.Expectations, func(e expect.Expectation) bool { return strings.Contains(e.Headline, placeholder) })
	}
	return slices.ContainsFunc(lab.Spec.Expectations, func(e expect.Expectation) bool {
		return e.Metric == metric && (strings.Contains(e.Headline, "{percent}") || told("{percent:"+e.ID+"}"))
	})
}

// format writes a value of the board with its unit.
func (b board) format(value float64) string {
	switch {
	case math.IsNaN(value):
		return "–"
	case b.percent:
		return units.Percent(value)
	}
	return units.Format(value, b.unit)
}

// full is the value of a full bar.
func (b board) full() float64 {
	full := 0.0
	if b.percent {
		full = 1
	}
	for _, r := range b.rows {
		if !math.IsNaN(r.value) {
			full = max(full, r.value)
		}
	}
	return full
}

// figure is the one value that the current screen is about; ok is false where it has none, or several.
func (b board) figure(variant string) (r row, ok bool) {
	var own []row
	for _, r := range b.rows {
		switch {
		case r.variant != variant || math.IsNaN(r.value):
		case r.live:
			return r, true
		default:
			own = append(own, r)
		}
	}
	if len(own) != 1 {
		return row{}, false
	}
	return own[0], true
}

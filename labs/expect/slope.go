package expect

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/dsrlab/dsrlab/results"
)

// point is a metric's median under one value of a numeric label.
type point struct{ x, y float64 }

// slope returns how much the expectation's metric grows for each 1 of its label, through the medians under all values of the label,
// and the metric's unit.
func slope(s results.Summary, e *Expectation) (float64, string, error) {
	var points []point
	unit := ""
	for _, m := range s.Metrics {
		text, ok := m.Labels[e.Slope]
		if m.Variant != e.Variant || m.Metric != e.Metric || !ok || !onlyMore(m.Labels, e.Labels, e.Slope) {
			continue
		}
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, "", fmt.Errorf("label %s of %s: found %q (want a number)", e.Slope, e.Metric, text)
		}
		if m.Median == nil {
			return 0, "", fmt.Errorf("%s of %s was not measured", nameUnder(e.Metric, m.Labels), e.Variant)
		}
		points, unit = append(points, point{x, *m.Median}), m.Unit
	}
	value, ok := leastSquares(points)
	if !ok {
		return 0, "", fmt.Errorf("%s of %s: found %d values of %s (want at least 2 for a slope)", e.Metric, e.Variant, len(points), e.Slope)
	}
	return value, unit, nil
}

// onlyMore reports whether labels are the others plus the named one.
func onlyMore(labels, others map[string]string, name string) bool {
	rest := maps.Clone(labels)
	delete(rest, name)
	return maps.Equal(rest, others)
}

// leastSquares returns the slope of the least-squares line through the points; ok is false if they determine none.
func leastSquares(points []point) (slope float64, ok bool) {
	var meanX, meanY, varies, together float64
	for _, p := range points {
		meanX += p.x / float64(len(points))
		meanY += p.y / float64(len(points))
	}
	for _, p := range points {
		varies += (p.x - meanX) * (p.x - meanX)
		together += (p.x - meanX) * (p.y - meanY)
	}
	if varies == 0 {
		return 0, false
	}
	return together / varies, true
}

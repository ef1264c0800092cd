package report

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/dsrlab/dsrlab/results/units"
)

// mark is a value to compare with, in the unit of the chart.
type mark struct {
	at    float64
	text  string
	right bool
}

// span is a row of percentiles; its values are in the unit of the run.
type span struct {
	name, variant string
	values        []float64
}

// addMarks draws each mark as a dashed line across the chart: standing over bars, lying over lines.
func (c Chart) addMarks(p *plot.Plot, colours palette) error {
	for _, m := range c.marks {
		ends := plotter.XYs{{X: p.X.Min, Y: m.at}, {X: p.X.Max, Y: m.at}}
		at, align, offset := plotter.XY{X: p.X.Min, Y: m.at}, draw.XLeft, vg.Point{X: 2, Y: 3}
		if m.right {
			at.X, align, offset.X = p.X.Max, draw.XRight, -2
		}
		if c.lying() {
			ends = plotter.XYs{{X: m.at, Y: p.Y.Min}, {X: m.at, Y: p.Y.Max}}
			at, offset = plotter.XY{X: m.at, Y: p.Y.Max - 0.55}, vg.Point{X: 4}
			if m.at > (p.X.Min+p.X.Max)/2 {
				align, offset.X = draw.XRight, -4
			}
		}
		across, err := plotter.NewLine(ends)
		if err != nil {
			return err
		}
		across.LineStyle = draw.LineStyle{Color: colours.ink, Width: 1, Dashes: []vg.Length{4, 3}}
		text, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{at}, Labels: []string{m.text}})
		if err != nil {
			return err
		}
		text.Offset = offset
		text.TextStyle[0].Font, text.TextStyle[0].Color, text.TextStyle[0].XAlign = p.Legend.TextStyle.Font, colours.ink, align
		p.Add(across, text)
	}
	return nil
}

// addSpans draws a row for each span: a thin line from its first value to its last, and a mark at each.
func (c Chart) addSpans(p *plot.Plot, colours palette) error {
	high := 0.0
	names := make([]string, len(c.spans))
	for i, s := range c.spans {
		row := float64(len(c.spans) - 1 - i)
		names[len(c.spans)-1-i] = s.name
		var points plotter.XYs
		for _, value := range s.values {
			points = append(points, plotter.XY{X: value / c.scale.Divisor, Y: row})
			high = max(high, value/c.scale.Divisor)
		}
		path, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		colour := colours.path(pathOf(s.variant))
		path.LineStyle = draw.LineStyle{Color: colour, Width: 1, Dashes: []vg.Length{2, 2}}
		dots.GlyphStyle = draw.GlyphStyle{Color: colour, Radius: 4, Shape: pathOf(s.variant).glyph()}
		last := points[len(points)-1]
		text, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{last}, Labels: []string{units.Number(last.X)}})
		if err != nil {
			return err
		}
		text.Offset.X = 8
		text.TextStyle[0].Font, text.TextStyle[0].Color, text.TextStyle[0].YAlign = p.Legend.TextStyle.Font, colours.ink, -0.5
		p.Add(path, dots, text)
	}
	c.setRows(p, colours, names, 0, high)
	return c.addMarks(p, colours)
}

// setLogarithmic makes an axis of values logarithmic, from a power of ten to above the largest of them.
func (c Chart) setLogarithmic(axis *plot.Axis) {
	low, high := math.Inf(1), 0.0
	for _, l := range c.lines {
		for _, point := range l.points {
			value := point.median / c.scale.Divisor
			low, high = min(low, value), max(high, value)
		}
	}
	for _, m := range c.marks {
		low, high = min(low, m.at), max(high, m.at)
	}
	axis.Scale = plot.LogScale{}
	axis.Min, axis.Max = math.Pow(10, math.Floor(math.Log10(low))), high*2
	axis.Tick.Marker = plot.TickerFunc(func(from, to float64) (ticks []plot.Tick) {
		for at := from; at <= to; at *= 10 {
			ticks = append(ticks, plot.Tick{Value: at, Label: units.Number(math.Round(at*1e9) / 1e9)})
		}
		return ticks
	})
}

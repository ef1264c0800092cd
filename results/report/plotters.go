package report

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/dsrlab/dsrlab/results/units"
)

// whiskers are points with the distances to the bounds of their intervals.
type whiskers struct {
	plotter.XYs
	plotter.YErrors
}

// scaled are points in the unit of the chart, and those of them that have an interval.
func (c Chart) scaled(points []point) (plotter.XYs, whiskers) {
	var all plotter.XYs
	var bounded whiskers
	for _, p := range points {
		at := plotter.XY{X: p.x, Y: p.median / c.scale.Divisor}
		all = append(all, at)
		if p.ci != nil {
			bounded.XYs = append(bounded.XYs, at)
			bounded.YErrors = append(bounded.YErrors, struct{ Low, High float64 }{
				at.Y - p.ci[0]/c.scale.Divisor, p.ci[1]/c.scale.Divisor - at.Y,
			})
		}
	}
	return all, bounded
}

// bounds of medians, intervals and (for bars) single values, with 0 among them.
func (c Chart) bounds(points []point) (low, high float64) {
	see := func(value float64) {
		low, high = min(low, value/c.scale.Divisor), max(high, value/c.scale.Divisor)
	}
	for _, p := range points {
		see(p.median)
		if p.ci != nil {
			see(p.ci[0])
			see(p.ci[1])
		}
		for _, value := range p.values {
			if len(c.bars) > 0 {
				see(value)
			}
		}
	}
	return low, high
}

// setRange leaves room above for what is written there.
func setRange(axis *plot.Axis, low, high float64) {
	if low == high {
		high = 1
	}
	axis.Min, axis.Max = low*1.15, high*1.15
}

func (c Chart) addBars(p *plot.Plot, colours palette) error {
	points := append([]point(nil), c.bars...)
	width := min(vg.Length(56), 0.6*chartWidth/vg.Length(len(points)+1))
	low, high := c.bounds(points)
	names := make([]string, len(points))
	for i := range points {
		points[i].x = float64(i)
		names[i] = points[i].name
	}
	for i, b := range points {
		bar, err := plotter.NewBarChart(plotter.Values{b.median / c.scale.Divisor}, width)
		if err != nil {
			return err
		}
		bar.XMin, bar.Color, bar.LineStyle.Width = float64(i), colours.variant(c.colour[b.variant]), 0
		p.Add(bar)
	}
	if err := c.addDots(p, colours, points); err != nil {
		return err
	}
	if err := c.addWhiskers(p, colours, points); err != nil {
		return err
	}
	if err := c.addValues(p, colours, points, (high-low)*0.02); err != nil {
		return err
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(points))-0.4
	p.X.Tick.Label.Color, p.X.Tick.Label.Font.Size = colours.ink, 10
	p.X.LineStyle.Width, p.X.LineStyle.Color = 0.5, colours.muted // NominalX takes it away
	setRange(&p.Y, low, high)
	return nil
}

// addDots puts the single samples beside each other on their bar, so that equal ones don't hide.
func (c Chart) addDots(p *plot.Plot, colours palette, points []point) error {
	var dots plotter.XYs
	for _, b := range points {
		for i, value := range b.values {
			spread := 0.0
			if len(b.values) > 1 {
				spread = (float64(i)/float64(len(b.values)-1) - 0.5) * 0.22
			}
			dots = append(dots, plotter.XY{X: b.x + spread, Y: value / c.scale.Divisor})
		}
	}
	scatter, err := plotter.NewScatter(dots)
	if err != nil {
		return err
	}
	scatter.GlyphStyle = draw.GlyphStyle{Color: colours.background, Radius: 2, Shape: draw.CircleGlyph{}}
	rim := *scatter
	rim.GlyphStyle = draw.GlyphStyle{Color: colours.ink, Radius: 2, Shape: draw.RingGlyph{}}
	p.Add(scatter, &rim)
	return nil
}

func (c Chart) addWhiskers(p *plot.Plot, colours palette, points []point) error {
	_, bounded := c.scaled(points)
	if len(bounded.XYs) == 0 {
		return nil
	}
	bars, err := plotter.NewYErrorBars(bounded)
	if err != nil {
		return err
	}
	bars.LineStyle = draw.LineStyle{Color: colours.ink, Width: 1}
	bars.CapWidth = 8
	p.Add(bars)
	return nil
}

// addValues writes the median above each bar.
func (c Chart) addValues(p *plot.Plot, colours palette, points []point, gap float64) error {
	var at plotter.XYs
	var texts []string
	for _, b := range points {
		_, high := c.bounds([]point{b})
		at = append(at, plotter.XY{X: b.x, Y: high + gap})
		texts = append(texts, units.Number(b.median/c.scale.Divisor))
	}
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: at, Labels: texts})
	if err != nil {
		return err
	}
	for i := range labels.TextStyle {
		labels.TextStyle[i].Font = p.Legend.TextStyle.Font
		labels.TextStyle[i].Color = colours.ink
		labels.TextStyle[i].XAlign = -0.5 // centred
	}
	p.Add(labels)
	return nil
}

func (c Chart) addLines(p *plot.Plot, colours palette) error {
	var low, high float64
	for _, l := range c.lines {
		colour := colours.variant(l.colour)
		all, _ := c.scaled(l.points)
		path, marks, err := plotter.NewLinePoints(all)
		if err != nil {
			return err
		}
		path.LineStyle = draw.LineStyle{Color: colour, Width: 2}
		marks.GlyphStyle = draw.GlyphStyle{Color: colour, Radius: 3, Shape: draw.CircleGlyph{}}
		p.Add(path)
		if err := c.addWhiskers(p, palette{ink: colour}, l.points); err != nil {
			return err
		}
		p.Add(marks)
		p.Legend.Add(l.name, path, marks)
		from, to := c.bounds(l.points)
		low, high = min(low, from), max(high, to)
	}
	var ticks plot.ConstantTicks
	for _, t := range c.xTicks {
		ticks = append(ticks, plot.Tick{Value: t.at, Label: t.text})
	}
	p.X.Tick.Marker = ticks
	if c.xLog {
		p.X.Scale = plot.LogScale{}
	}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.Padding = 8, 2
	setRange(&p.Y, low, high)
	return nil
}

package report

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
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

// addBars draws lying bars, the first on top.
func (c Chart) addBars(p *plot.Plot, colours palette) error {
	points := append([]point(nil), c.bars...)
	low, high := c.bounds(points)
	names := make([]string, len(points))
	for i := range points {
		points[i].x = float64(len(points) - 1 - i)
		names[len(points)-1-i] = points[i].name
	}
	for _, b := range points {
		bar, err := plotter.NewBarChart(plotter.Values{b.median / c.scale.Divisor}, 0.62*c.rowHeight())
		if err != nil {
			return err
		}
		bar.Horizontal, bar.XMin, bar.Color, bar.LineStyle.Width = true, b.x, colours.path(pathOf(b.variant)), 0
		p.Add(bar)
	}
	if err := c.addDots(p, colours, points); err != nil {
		return err
	}
	if err := c.addBarWhiskers(p, colours, points); err != nil {
		return err
	}
	if err := c.addValues(p, colours, points); err != nil {
		return err
	}
	c.setRows(p, colours, names, low, high)
	return c.addMarks(p, colours)
}

// setRows names rows, from the lowest, and makes room for values from low to high.
func (c Chart) setRows(p *plot.Plot, colours palette, names []string, low, high float64) {
	p.NominalY(names...)
	p.Y.Min, p.Y.Max = -0.6, float64(len(names))-0.4
	p.Y.Tick.Label.Color, p.Y.Tick.Label.Font.Size = colours.ink, 10
	p.Y.LineStyle.Width, p.Y.LineStyle.Color = 0.5, colours.muted // NominalY takes it away
	p.X.LineStyle.Width, p.X.Tick.Length, p.X.Padding = 0, 0, 0
	p.Y.Padding = 0 // bars stand on the axis
	for _, m := range c.marks {
		high = max(high, m.at)
	}
	if len(c.marks) > 0 {
		p.Y.Max++
	}
	setRange(&p.X, low, high)
}

// addDots puts the single samples beside each other on their bar, so that equal ones don't hide.
func (c Chart) addDots(p *plot.Plot, colours palette, points []point) error {
	var dots plotter.XYs
	for _, b := range points {
		for i, value := range b.values {
			spread := 0.0
			if len(b.values) > 1 {
				spread = (float64(i)/float64(len(b.values)-1) - 0.5) * 0.36
			}
			dots = append(dots, plotter.XY{X: value / c.scale.Divisor, Y: b.x - spread})
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

// lying are whiskers of bars that lie.
type lying struct {
	plotter.XYs
	plotter.XErrors
}

func (c Chart) addBarWhiskers(p *plot.Plot, colours palette, points []point) error {
	_, bounded := c.scaled(points)
	if len(bounded.XYs) == 0 {
		return nil
	}
	var turned lying
	for i, at := range bounded.XYs {
		turned.XYs = append(turned.XYs, plotter.XY{X: at.Y, Y: at.X})
		turned.XErrors = append(turned.XErrors, bounded.YErrors[i])
	}
	bars, err := plotter.NewXErrorBars(turned)
	if err != nil {
		return err
	}
	bars.LineStyle = draw.LineStyle{Color: colours.ink, Width: 1}
	bars.CapWidth = 8
	p.Add(bars)
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

// addValues writes the median beside the end of each bar.
func (c Chart) addValues(p *plot.Plot, colours palette, points []point) error {
	var at plotter.XYs
	var texts []string
	for _, b := range points {
		_, high := c.bounds([]point{b})
		at = append(at, plotter.XY{X: high, Y: b.x})
		texts = append(texts, units.Number(b.median/c.scale.Divisor))
	}
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: at, Labels: texts})
	if err != nil {
		return err
	}
	labels.Offset.X = 6
	for i := range labels.TextStyle {
		labels.TextStyle[i].Font = p.Legend.TextStyle.Font
		labels.TextStyle[i].Color = colours.ink
		labels.TextStyle[i].YAlign = -0.5 // centred
	}
	p.Add(labels)
	return nil
}

func (c Chart) addLines(p *plot.Plot, colours palette) error {
	var low, high float64
	nth := map[dataPath]int{}
	for _, l := range c.lines {
		colour := colours.path(l.path)
		all, _ := c.scaled(l.points)
		path, marks, err := plotter.NewLinePoints(all)
		if err != nil {
			return err
		}
		path.LineStyle = draw.LineStyle{Color: colour, Width: 2, Dashes: l.path.dashes(nth[l.path])}
		marks.GlyphStyle = draw.GlyphStyle{Color: colour, Radius: 3.5, Shape: l.path.glyph()}
		nth[l.path]++
		if err := c.addWhiskers(p, palette{ink: colour}, l.points); err != nil {
			return err
		}
		if len(l.points) < joined {
			p.Legend.Add(l.name, marks)
		} else {
			p.Add(path)
			p.Legend.Add(l.name, path, marks)
		}
		p.Add(marks)
		from, to := c.bounds(l.points)
		low, high = min(low, from), max(high, to)
	}
	var ticks plot.ConstantTicks
	for _, t := range c.xTicks {
		ticks = append(ticks, plot.Tick{Value: t.at, Label: t.text})
	}
	p.X.Tick.Marker = ticks
	first, last := c.xTicks[0].at, c.xTicks[len(c.xTicks)-1].at
	room := (last - first) * 0.06 // for half of the last tick's label, and of the first one's
	p.X.Min, p.X.Max = first-room, last+room
	if c.xLog {
		p.X.Scale = plot.LogScale{}
		factor := math.Pow(last/first, 0.06)
		p.X.Min, p.X.Max = first/factor, last*factor
	}
	p.X.Padding = 0
	for _, m := range c.marks {
		high = max(high, m.at)
	}
	setRange(&p.Y, low, high)
	if c.yLog {
		c.setLogarithmic(&p.Y)
	}
	return c.addMarks(p, colours)
}

// joined is how many points are joined by a line: two would look as if all between them had been measured.
const joined = 3

// addCurves draws steps, and on each curve a few marks that tell it apart without colour.
func (c Chart) addCurves(p *plot.Plot, colours palette) error {
	var last, high float64
	nth := map[dataPath]int{}
	for i, of := range c.curves {
		colour := colours.path(of.path)
		path, err := plotter.NewLine(of.corners)
		if err != nil {
			return err
		}
		path.StepStyle = plotter.PostStep
		path.LineStyle = draw.LineStyle{Color: colour, Width: 1.5, Dashes: of.path.dashes(nth[of.path])}
		nth[of.path]++
		every := max(1, len(of.corners)/marked)
		var some plotter.XYs
		for k := i % every; k < len(of.corners); k += every { // not all at the same places
			some = append(some, of.corners[k])
		}
		marks, err := plotter.NewScatter(some)
		if err != nil {
			return err
		}
		marks.GlyphStyle = draw.GlyphStyle{Color: colour, Radius: 3, Shape: of.path.glyph()}
		p.Add(path, marks)
		p.Legend.Add(of.name, path, marks)
		for _, corner := range of.corners {
			last, high = max(last, corner.X), max(high, corner.Y)
		}
	}
	for _, m := range c.marks {
		high = max(high, m.at)
	}
	p.X.Min, p.X.Max, p.X.Padding = 0, last, 0
	if last == 0 {
		p.X.Max = 1
	}
	p.X.Tick.Marker = plot.TickerFunc(majorTicks)
	setRange(&p.Y, 0, high)
	return c.addMarks(p, colours)
}

// marked is about how many marks a curve has.
const marked = 8

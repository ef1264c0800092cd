package report

import "gonum.org/v1/plot/vg"

// A picture of a slide is as wide as its heading and as high as what is left below it; on a slide that is 1280 pixels wide, a point of the
// least width takes more than two pixels.
const (
	slideRatio     = 2.25
	slideWidth     = 500 * vg.Length(1)
	slideFrame     = 40 * vg.Length(1)   // axis of a chart of bars
	slideRow       = 14.5 * vg.Length(1) // of each bar, at least
	slideRowMost   = 44 * vg.Length(1)
	slideCurves    = 320 * vg.Length(1) // height of two charts, one below the other
	slidePlot      = 300 * vg.Length(1) // width of what is beside a legend
	slideLegend    = 48 * vg.Length(1)  // width of a legend without its names
	slideLegendPer = 5 * vg.Length(1)   // for each letter
)

// slideDrawn is a chart as a picture that fills a slide.
func slideDrawn(c Chart) (pictureView, error) { return drawn(c.onSlide()) }

// onSlide is the chart with the proportions of a slide, and large letters. It has no title, for the slide has.
func (c Chart) onSlide() Chart {
	if c.walk != nil {
		return c.walkOnSlide()
	}
	width := slideWidth
	if c.lying() {
		width = max(width, slideRatio*(slideFrame+slideRow*c.rows()))
	} else {
		letters := 0
		for _, name := range c.legend() {
			letters = max(letters, len([]rune(name)))
		}
		width = max(width, slidePlot+slideLegend+slideLegendPer*vg.Length(letters))
	}
	if c.below != nil {
		width = max(width, slideRatio*slideCurves)
	}
	c.size = vg.Point{X: width, Y: width / slideRatio}
	if c.lying() {
		c.size.Y = min(c.size.Y, slideFrame+slideRowMost*c.rows())
	}
	return c
}

// slide reports whether the chart is drawn for a slide.
func (c Chart) slide() bool { return c.size.X > 0 }

// rows is how many rows a chart of bars or spans has, with one for what marks say.
func (c Chart) rows() vg.Length {
	rows := len(c.bars) + len(c.spans)
	if len(c.marks) > 0 {
		rows++
	}
	return vg.Length(rows)
}

// rowHeight is the height of a row of bars.
func (c Chart) rowHeight() vg.Length {
	if !c.slide() {
		return barHeight
	}
	return (c.size.Y - slideFrame) / c.rows()
}

// legend has the names of lines and curves.
func (c Chart) legend() []string {
	var names []string
	for _, l := range c.lines {
		names = append(names, l.name)
	}
	for _, of := range c.curves {
		names = append(names, of.name)
	}
	return names
}

package report

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"image/color"
	"io"
	"math"
	"regexp"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/dsrlab/dsrlab/results/units"
)

// Theme is a set of colours.
type Theme string

const (
	Light Theme = "light"
	Dark  Theme = "dark"
	// Auto follows the reader's preference: it is for SVG, whose style sheet has both.
	Auto Theme = "auto"
	// page leaves the colours to the style sheet of the page that the picture stands in.
	page Theme = "page"
)

const (
	chartWidth = 640 * vg.Length(1) // points
	lineHeight = 300 * vg.Length(1) // of a chart of lines
	// belowHeight is what a chart below it adds.
	belowHeight = 140 * vg.Length(1)
	barHeight   = 26 * vg.Length(1) // of each bar
	barFrame    = 62 * vg.Length(1) // title and axis of a chart of bars
)

func (c Chart) width() vg.Length {
	if c.walk != nil && !c.slide() {
		return c.walk.width()
	}
	return cmp.Or(c.size.X, chartWidth)
}

func (c Chart) height() vg.Length {
	if c.size.Y > 0 {
		return c.size.Y
	}
	if c.walk != nil {
		return c.walkHeight(c.width())
	}
	if rows := len(c.bars) + len(c.spans); rows > 0 {
		if len(c.marks) > 0 {
			rows++ // for what the marks say
		}
		return barFrame + barHeight*vg.Length(rows)
	}
	if c.below != nil {
		return lineHeight + belowHeight
	}
	return max(lineHeight, 60+16*vg.Length(len(c.lines)))
}

// palette is what a theme draws with.
type palette struct {
	ink, muted, grid, background color.RGBA
	request, reply               color.RGBA   // the ways of packets
	variants                     []color.RGBA // by dataPath
}

func rgb(hex uint32) color.RGBA {
	return color.RGBA{R: uint8(hex >> 16), G: uint8(hex >> 8), B: uint8(hex), A: 0xff}
}

// hex is the colour as vgsvg and style sheets write it.
func hex(c color.RGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }

func (t Theme) palette() palette {
	switch t {
	case Dark:
		return palette{
			rgb(0xe6e8eb), rgb(0xa2a9b3), rgb(0x333941), rgb(0x16191d), rgb(0x6cb0ff), rgb(0xff9a5c),
			[]color.RGBA{rgb(0x9aa3ae), rgb(0xf0b429), rgb(0xff7b54), rgb(0x5ab0f5), rgb(0x3ccfa0), rgb(0xd79ad9), rgb(0xf58ab4), rgb(0xc49a6c), rgb(0x6fd0dd)},
		}
	case page:
		// Colours that nothing else uses, each to be replaced by a custom property of the page.
		p := palette{ink: rgb(0x010203), muted: rgb(0x010204), grid: rgb(0x010205), background: rgb(0x010206), request: rgb(0x010207), reply: rgb(0x010208)}
		for i := range Light.palette().variants {
			p.variants = append(p.variants, rgb(0x010210+uint32(i)))
		}
		return p
	default:
		return palette{
			rgb(0x1c2024), rgb(0x5d6670), rgb(0xdfe3e8), rgb(0xffffff), rgb(0x0757ba), rgb(0xc2410c),
			[]color.RGBA{rgb(0x8a929c), rgb(0xd99a00), rgb(0xd1491b), rgb(0x0b6fc2), rgb(0x00825c), rgb(0x8a4fa8), rgb(0xc93a78), rgb(0x7a5230), rgb(0x127d8c)},
		}
	}
}

// properties maps the colours of the page theme to custom properties of CSS.
func properties() *strings.Replacer {
	p := page.palette()
	pairs := []string{hex(p.ink), "var(--ink)", hex(p.muted), "var(--muted)", hex(p.grid), "var(--grid)", hex(p.background), "var(--paper)",
		hex(p.request), "var(--request)", hex(p.reply), "var(--reply)"}
	for i, c := range p.variants {
		pairs = append(pairs, hex(c), fmt.Sprintf("var(--v%d)", i))
	}
	return strings.NewReplacer(pairs...)
}

func (p palette) path(d dataPath) color.RGBA { return p.variants[d] }

// SVG writes the chart as a picture of its own, in the colours of the theme.
func (c Chart) SVG(w io.Writer, theme Theme) error {
	data, err := c.svg(theme)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// PNG writes the chart with 144 dots an inch.
func (c Chart) PNG(w io.Writer, theme Theme) error {
	canvas := vgimg.NewWith(vgimg.UseWH(c.width(), c.height()), vgimg.UseDPI(144), vgimg.UseBackgroundColor(theme.palette().background))
	if err := c.draw(theme.palette(), draw.New(canvas)); err != nil {
		return fmt.Errorf("draw chart %s: %w", c.Name, err)
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(w); err != nil {
		return fmt.Errorf("write chart %s: %w", c.Name, err)
	}
	return nil
}

func (c Chart) svg(theme Theme) ([]byte, error) {
	if theme == Auto {
		return c.auto()
	}
	canvas := vgsvg.New(c.width(), c.height())
	if err := c.draw(theme.palette(), draw.New(canvas)); err != nil {
		return nil, fmt.Errorf("draw chart %s: %w", c.Name, err)
	}
	var buffer bytes.Buffer
	if _, err := canvas.WriteTo(&buffer); err != nil {
		return nil, fmt.Errorf("write chart %s: %w", c.Name, err)
	}
	// Arial and Helvetica have the widths of the Liberation fonts that the layout was made with.
	text := strings.ReplaceAll(buffer.String(), "font-family:Liberation Sans;", "font-family:Liberation Sans,Arial,Helvetica,sans-serif;")
	text = fixedWidths(text) // where there is none of them
	words := c.describe()
	if c.walk != nil {
		words = c.walk.summary() + " " + words
	}
	text = strings.ReplaceAll(text, "<!-- Generated by SVGo and Plotinum VG -->\n", "")
	title := fmt.Sprintf("<title>%s</title>\n<desc>%s</desc>\n", html.EscapeString(c.Title), html.EscapeString(words))
	text = regexp.MustCompile(`<svg[^>]*>\n`).ReplaceAllStringFunc(text, func(tag string) string { return tag + title })
	return []byte(text), nil
}

// inline is the chart as an element of a page whose style sheet has the colours.
func (c Chart) inline() (string, error) {
	data, err := c.svg(page)
	if err != nil {
		return "", err
	}
	text := properties().Replace(string(data))
	text = text[strings.Index(text, "<svg"):]
	return regexp.MustCompile(`<svg width="[^"]*" height="[^"]*"`).ReplaceAllString(text, `<svg role="img"`), nil
}

// auto is the chart with a style sheet of its own, light and dark.
func (c Chart) auto() ([]byte, error) {
	data, err := c.svg(page)
	if err != nil {
		return nil, err
	}
	light, dark := Light.declare(), Dark.declare()
	if c.walk != nil {
		light, dark = light+Light.declareWays(), dark+Dark.declareWays()
	}
	style := "<style>svg{" + light + "}@media (prefers-color-scheme: dark){svg{" + dark + "}}</style>\n"
	text := properties().Replace(string(data))
	return []byte(strings.Replace(text, "<title>", style+"<title>", 1)), nil
}

// describe says in words what the chart shows, for those who do not see it.
func (c Chart) describe() string {
	if c.walk != nil {
		return c.walk.describe()
	}
	var parts []string
	for _, b := range c.bars {
		parts = append(parts, b.name+" "+units.Number(b.median/c.scale.Divisor))
	}
	for _, s := range c.spans {
		var values []string
		for _, value := range s.values {
			values = append(values, units.Number(value/c.scale.Divisor))
		}
		parts = append(parts, s.name+" "+strings.Join(values, ", "))
	}
	for _, l := range c.lines {
		var points []string
		for _, p := range l.points {
			for _, t := range c.xTicks {
				if t.at == p.x {
					points = append(points, t.text+" "+units.Number(p.median/c.scale.Divisor))
				}
			}
		}
		parts = append(parts, l.name+": "+strings.Join(points, ", "))
	}
	columns, value := c.ticksOf()
	for _, of := range c.curves {
		var values []string
		for i, column := range columns {
			if text := value(of, i); text != "" {
				values = append(values, column+" "+text)
			}
		}
		parts = append(parts, of.name+": "+strings.Join(values, ", "))
	}
	if c.below != nil {
		parts = append(parts, c.below.Title+": "+c.below.describe())
	}
	for _, m := range c.marks {
		parts = append(parts, m.text+" "+units.Number(m.at))
	}
	return strings.Join(parts, "; ")
}

// lying reports whether values lie along the other axis, so that names have room.
func (c Chart) lying() bool { return len(c.lines) == 0 && len(c.curves) == 0 }

// draw puts the legend of lines beside the plot, where it hides nothing.
func (c Chart) draw(colours palette, on draw.Canvas) error {
	if c.walk != nil {
		c.drawWalk(colours, on)
		return nil
	}
	p, err := c.plot(colours)
	if err != nil {
		return err
	}
	if c.lying() {
		on.SetColor(p.BackgroundColor)
		on.Fill(on.Rectangle.Path())
		p.Draw(draw.Crop(on, 6, -12, 0, -4))
		return nil
	}
	legend := p.Legend
	p.Legend = plot.NewLegend()
	legend.Top, legend.Left, legend.Padding, legend.ThumbnailWidth = true, true, 3, 30
	width := legend.Rectangle(on).Size().X + 12
	on.SetColor(p.BackgroundColor)
	on.Fill(on.Rectangle.Path())
	beside := draw.Crop(on, 6, -width, 0, -4)
	if c.below == nil {
		p.Draw(beside)
	} else if err := c.drawBoth(p, colours, beside); err != nil {
		return err
	}
	legend.Draw(draw.Crop(on, on.Size().X-width+6, 0, 0, -34))
	return nil
}

// drawBoth draws the chart and the one below it, whose values have the same place on both axes that lie.
func (c Chart) drawBoth(p *plot.Plot, colours palette, on draw.Canvas) error {
	below, err := c.below.plot(colours)
	if err != nil {
		return err
	}
	below.Legend = plot.NewLegend() // that of the chart above is for both
	below.X.Min, below.X.Max = p.X.Min, p.X.Max
	p.X.Label.Text = ""
	tiles := plot.Align([][]*plot.Plot{{p}, {below}}, draw.Tiles{Rows: 2, Cols: 1, PadY: 8}, on)
	p.Draw(tiles[0][0])
	below.Draw(tiles[1][0])
	return nil
}

func (c Chart) plot(colours palette) (*plot.Plot, error) {
	p := plot.New()
	c.style(p, colours)
	switch {
	case len(c.bars) > 0:
		return p, c.addBars(p, colours)
	case len(c.spans) > 0:
		return p, c.addSpans(p, colours)
	case len(c.curves) > 0:
		return p, c.addCurves(p, colours)
	}
	return p, c.addLines(p, colours)
}

func (c Chart) style(p *plot.Plot, colours palette) {
	text := func(size vg.Length) font.Font {
		return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	}
	p.BackgroundColor = colours.background
	if !c.slide() {
		p.Title.Text = c.Title
	}
	p.Title.TextStyle.Font = text(12)
	p.Title.TextStyle.Color = colours.ink
	p.Title.Padding = 8
	p.X.Label.Text = c.xTitle
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font, axis.Label.TextStyle.Color = text(10), colours.muted
		axis.Tick.Label.Font, axis.Tick.Label.Color = text(9), colours.muted
		axis.LineStyle.Color, axis.LineStyle.Width = colours.muted, 0.5
		axis.Tick.LineStyle.Color, axis.Tick.LineStyle.Width = colours.muted, 0.5
	}
	p.Legend.TextStyle.Font, p.Legend.TextStyle.Color = text(10), colours.ink
	p.Y.LineStyle.Width, p.Y.Tick.Length = 0, 0
	grid := plotter.NewGrid()
	grid.Vertical.Width, grid.Horizontal.Width = 0, 0
	figures, lines := &p.Y, &grid.Horizontal
	if c.lying() {
		figures, lines = &p.X, &grid.Vertical
	}
	figures.Tick.Marker = plot.TickerFunc(majorTicks)
	lines.Color, lines.Width, lines.Dashes = colours.grid, 0.7, nil
	p.Add(grid)
}

// majorTicks are round numbers, four to nine of them.
func majorTicks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, factor := range []float64{1, 2, 2.5, 5, 10} {
		if (high-low)/(step*factor) <= 6 {
			step *= factor
			break
		}
	}
	var ticks []plot.Tick
	for i := math.Ceil(low / step); i*step <= high*(1+1e-9); i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: units.Number(math.Round(i*step*1e9) / 1e9)})
	}
	return ticks
}

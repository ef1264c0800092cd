package report

import (
	"fmt"
	"html"
	"image/color"
	"regexp"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The picture of a walk is as narrow as a phone, and is not scaled down on one: its text stays readable.
const (
	walkWidth  = 340 * vg.Length(1) // points, of up to three nodes
	walkMore   = 110 * vg.Length(1) // of each more
	walkMargin = 6 * vg.Length(1)
	walkLine   = 14 * vg.Length(1) // height of a line of text
	walkArrow  = 12 * vg.Length(1) // below the text of a hop
	walkGap    = 10 * vg.Length(1) // above it
	walkTitle  = 30 * vg.Length(1)
	walkNames  = 54 * vg.Length(1) // of the nodes
	walkPod    = 30 * vg.Length(1)
	walkFoot   = 30 * vg.Length(1) // what the lines mean
	bold       = 3                 // the weight, as golang.org/x/image/font has it
)

// piece is a text in a line of a hop.
type piece struct {
	text    string
	style   draw.TextStyle
	changed bool // by the node that sent it: it is marked
}

// sketch draws a walk, from the top.
type sketch struct {
	*Walk
	slide   bool // without title, and each hop in fewer lines
	colours palette
	on      draw.Canvas
	width   vg.Length
	y       vg.Length // where the next thing is drawn
}

// walkHeight is the height of the picture of a walk that is so wide.
func (c Chart) walkHeight(width vg.Length) vg.Length {
	s := c.sketch(width)
	height := walkNames + walkFoot + walkPod
	if !s.slide {
		height += walkTitle
	}
	for i := range s.Hops {
		height += s.hopHeight(i)
	}
	return height
}

// walkOnSlide is the chart of a walk with the proportions of a slide.
func (c Chart) walkOnSlide() Chart {
	c.size.X = slideWidth // a slide's from here on
	height := c.walkHeight(max(slideWidth, c.walk.width()))
	c.size = vg.Point{X: max(slideWidth, slideRatio*height), Y: height}
	return c
}

func (c Chart) sketch(width vg.Length) sketch {
	return sketch{Walk: c.walk, slide: c.slide(), width: width}
}

func (w *Walk) width() vg.Length {
	return walkWidth + walkMore*vg.Length(max(0, len(w.Nodes)-3))
}

func textStyle(size vg.Length, weight int, colour color.Color) draw.TextStyle {
	style := draw.TextStyle{Color: colour, Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}, Handler: plot.DefaultTextHandler}
	if weight == bold {
		style.Font.Weight = bold
	}
	return style
}

// drawWalk draws the nodes' lifelines from left to right, and on them one hop below the other.
func (c Chart) drawWalk(colours palette, on draw.Canvas) {
	s := c.sketch(c.width())
	s.colours, s.on, s.y = colours, on, on.Max.Y
	on.SetColor(colours.background)
	on.Fill(on.Rectangle.Path())
	if !s.slide {
		s.drawTitle(c.Title)
	}
	s.drawNodes()
	drawnPod := false
	for i := range s.Hops {
		if s.Hops[i].Reply && !drawnPod {
			s.drawPod(s.Hops[i].From)
			drawnPod = true
		}
		s.drawHop(i)
	}
	s.drawLegend()
}

// fixedWidths gives each text of a picture the width that it was laid out with, so that in no other font, as on the machine that a speaker
// happens to use, it lies over what is beside it.
func fixedWidths(svg string) string {
	pattern := regexp.MustCompile(`<text ([^>]*font-weight:(\w+);[^>]*font-size:([0-9.]+)px[^>]*)>([^<]*)</text>`)
	return pattern.ReplaceAllStringFunc(svg, func(text string) string {
		parts := pattern.FindStringSubmatch(text)
		size, err := strconv.ParseFloat(parts[3], 64)
		if err != nil {
			return text // cannot be: the pattern has digits
		}
		weight := 0
		if parts[2] == "bold" {
			weight = bold
		}
		width := textStyle(vg.Length(size), weight, nil).Width(html.UnescapeString(parts[4]))
		return fmt.Sprintf(`<text textLength="%.1f" lengthAdjust="spacingAndGlyphs" %s>%s</text>`, width.Points(), parts[1], parts[4])
	})
}

// lifeline is where the nth node's line stands.
func (s *sketch) lifeline(n int) vg.Length {
	between := s.width / vg.Length(len(s.Nodes))
	return between * (vg.Length(n) + 0.5)
}

// drawTitle has the mark of the variant's data path before it.
func (s *sketch) drawTitle(title string) {
	path := pathOf(s.Variant)
	s.on.DrawGlyph(draw.GlyphStyle{Color: s.colours.path(path), Radius: 4, Shape: path.glyph()}, vg.Point{X: walkMargin + 5, Y: s.y - 16})
	s.on.FillText(textStyle(12, bold, s.colours.ink), vg.Point{X: walkMargin + 15, Y: s.y - 20}, title)
	s.y -= walkTitle
}

// drawNodes draws the names of the nodes, and their lifelines as long as there are hops.
func (s *sketch) drawNodes() {
	bottom := s.on.Min.Y + walkFoot
	for i, n := range s.Nodes {
		x := s.lifeline(i)
		s.line(s.colours.muted, 0.8, []vg.Length{1, 3}, vg.Point{X: x, Y: s.y - 48}, vg.Point{X: x, Y: bottom})
		half := s.width/vg.Length(2*len(s.Nodes)) - 4
		s.box(x-half, s.y-48, x+half, s.y-1, s.colours.background, s.colours.muted)
		y := s.y - 14
		if n.Role == "" {
			y -= 6
		}
		s.centred(textStyle(11, bold, s.colours.ink), x, y, half, n.Name)
		for _, text := range []string{n.Role, n.Address} {
			if text != "" {
				y -= 13
				s.centred(textStyle(9.5, 0, s.colours.muted), x, y, half, text)
			}
		}
	}
	s.y -= walkNames
}

// centred writes a text, smaller if there is no room.
func (s *sketch) centred(style draw.TextStyle, x, y, half vg.Length, text string) {
	style.XAlign = draw.XCenter
	if room := 2*half - 6; style.Width(text) > room {
		style.Font.Size *= room / style.Width(text)
	}
	s.on.FillText(style, vg.Point{X: x, Y: y}, text)
}

// drawPod draws the pod between the request and its reply, on the line of its node.
func (s *sketch) drawPod(node int) {
	style := textStyle(10, bold, s.colours.ink)
	text := s.Nodes[node].Pod
	half := style.Width(text)/2 + 7
	x := s.clamp(s.lifeline(node)-half, 2*half) + half
	s.box(x-half, s.y-walkPod+4, x+half, s.y-8, s.colours.background, s.colours.ink)
	style.XAlign = draw.XCenter
	s.on.FillText(style, vg.Point{X: x, Y: s.y - 20}, text)
	s.y -= walkPod
}

// clamp is where something begins that would best begin at x, so that all of it is in the picture.
func (s *sketch) clamp(x, width vg.Length) vg.Length {
	return max(walkMargin, min(x, s.width-walkMargin-width))
}

func (s *sketch) hopHeight(i int) vg.Length {
	height := walkGap + walkLine*vg.Length(len(s.lines(i))) + walkArrow
	if len(s.past(s.Hops[i])) > 0 {
		height += walkLine
	}
	return height
}

// drawHop draws what a hop carries, and its arrow below that.
func (s *sketch) drawHop(i int) {
	hop := s.Hops[i]
	lines := s.lines(i)
	from, to := s.lifeline(hop.From), s.lifeline(hop.To)
	widest := vg.Length(0)
	for _, line := range lines {
		widest = max(widest, widthOf(line))
	}
	left := s.clamp((from+to-widest)/2, widest)
	top := s.y - walkGap
	s.box(left-3, top-walkLine*vg.Length(len(lines)), left+widest+3, top+1, s.colours.background, nil)
	for k, line := range lines {
		x, base := left, top-walkLine*vg.Length(k)-10.5
		for _, p := range line {
			width := p.style.Width(p.text)
			if p.changed {
				s.box(x-2, base-3, x+width+2, base+10, s.colours.grid, nil)
			}
			s.on.FillText(p.style, vg.Point{X: x, Y: base}, p.text)
			x += width + space
		}
	}
	y := top - walkLine*vg.Length(len(lines)) - 6
	s.drawArrow(i, from, to, y)
	for _, n := range s.past(hop) {
		style := textStyle(9.5, bold, s.colours.ink)
		text := "not at " + s.Nodes[n].Name
		width := style.Width(text)
		x := s.lifeline(n) - width/2
		s.box(x-3, y-15, x+width+3, y-4, s.colours.background, nil)
		s.on.FillText(style, vg.Point{X: x, Y: y - 13}, text)
	}
	s.y -= s.hopHeight(i)
}

// way is the colour of a hop and the dashes of its line, which tell it apart without colour.
func (s *sketch) way(i int) (color.Color, []vg.Length) {
	if s.Hops[i].Reply {
		return s.colours.reply, []vg.Length{6, 3}
	}
	return s.colours.request, nil
}

func (s *sketch) drawArrow(i int, from, to, y vg.Length) {
	colour, dashes := s.way(i)
	back := vg.Length(-8)
	if to < from {
		back = 8
	}
	s.line(colour, 2, dashes, vg.Point{X: from, Y: y}, vg.Point{X: to + back, Y: y})
	s.on.FillPolygon(colour, []vg.Point{{X: to, Y: y}, {X: to + back, Y: y + 4.5}, {X: to + back, Y: y - 4.5}})
}

// space is between two pieces of a line.
const space = 4 * vg.Length(1)

func widthOf(line []piece) (width vg.Length) {
	for i, p := range line {
		if i > 0 {
			width += space
		}
		width += p.style.Width(p.text)
	}
	return width
}

// lines are the texts of a hop; one that has no room in a line goes on in the next.
func (s *sketch) lines(i int) [][]piece {
	hop, changed := s.Hops[i], s.changed(i)
	colour, _ := s.way(i)
	plain, strong, weak := textStyle(11, 0, s.colours.ink), textStyle(11, bold, colour), textStyle(9.5, 0, s.colours.muted)
	field := func(text any, changed bool) piece {
		if changed {
			return piece{fmt.Sprint(text), textStyle(11, bold, s.colours.ink), true}
		}
		return piece{fmt.Sprint(text), plain, false}
	}
	arrow := piece{text: "→", style: weak}
	life := "TTL " + ttl(hop.TTL, hop.ArrivedTTL)
	var tunnel, option []piece
	if t := hop.Tunnel; t != nil {
		life = "TTL " + ttl(t.TTL, t.ArrivedTTL) + ", inside " + ttl(hop.TTL, hop.ArrivedTTL)
		tunnel = []piece{
			{text: "Geneve", style: weak}, field(t.Source, changed.tunnel), arrow, field(t.Destination, changed.tunnel), {text: fmt.Sprintf("VNI %d", t.VNI), style: weak},
		}
		option = []piece{{text: "no DSR option", style: weak}}
		if t.Option != "" {
			option = []piece{{text: "DSR option: called", style: weak}, field(t.Frontend, changed.tunnel)}
		}
	}
	heading := []piece{{text: fmt.Sprintf("%d  %s, %s", i+1, s.word(i), hop.Packet), style: strong}, {text: life, style: weak}}
	addresses := []piece{field(hop.Source, changed.source), arrow, field(hop.Destination, changed.destination)}
	texts := [][]piece{heading, tunnel, option, addresses}
	if s.slide {
		texts = [][]piece{append(heading, addresses...), append(tunnel, option...)}
	}
	var lines [][]piece
	for _, text := range texts {
		if len(text) > 0 {
			lines = append(lines, s.wrapped(text)...)
		}
	}
	return lines
}

// wrapped breaks a line before each piece that has no room in it.
func (s *sketch) wrapped(line []piece) [][]piece {
	for i := 2; i <= len(line); i++ {
		if widthOf(line[:i]) > s.width-2*walkMargin {
			return append([][]piece{slices.Clone(line[:i-1])}, s.wrapped(line[i-1:])...)
		}
	}
	return [][]piece{line}
}

// drawLegend says what the lines and the marks mean.
func (s *sketch) drawLegend() {
	style := textStyle(9.5, 0, s.colours.muted)
	y := s.on.Min.Y + 10
	x := walkMargin + 2
	for i := range s.Hops {
		if i > 0 && s.Hops[i].Reply == s.Hops[i-1].Reply || i > 0 && !s.Hops[i].Reply {
			continue
		}
		colour, dashes := s.way(i)
		s.line(colour, 2, dashes, vg.Point{X: x, Y: y + 3}, vg.Point{X: x + 24, Y: y + 3})
		s.on.FillText(style, vg.Point{X: x + 29, Y: y}, s.word(i))
		x += 29 + style.Width(s.word(i)) + 14
	}
	marked := textStyle(9.5, bold, s.colours.ink)
	s.box(x, y-3, x+marked.Width("marked")+6, y+9, s.colours.grid, nil)
	s.on.FillText(marked, vg.Point{X: x + 3, Y: y}, "marked")
	s.on.FillText(style, vg.Point{X: x + marked.Width("marked") + 10, Y: y}, "changed by the sender")
}

func (s *sketch) line(colour color.Color, width vg.Length, dashes []vg.Length, from, to vg.Point) {
	s.on.StrokeLines(draw.LineStyle{Color: colour, Width: width, Dashes: dashes}, []vg.Point{from, to})
}

// box fills a rectangle and, with a rim, outlines it.
func (s *sketch) box(left, bottom, right, top vg.Length, fill, rim color.Color) {
	corners := []vg.Point{{X: left, Y: bottom}, {X: right, Y: bottom}, {X: right, Y: top}, {X: left, Y: top}}
	s.on.FillPolygon(fill, corners)
	if rim != nil {
		s.on.StrokeLines(draw.LineStyle{Color: rim, Width: 0.8}, append(corners, corners[0]))
	}
}

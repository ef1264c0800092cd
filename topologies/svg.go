package topologies

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Measures of the picture, in pixels.
const (
	svgMargin  = 24
	svgPad     = 14   // between a box and its text
	svgGap     = 18   // between boxes
	svgWire    = 110  // the shortest wire
	svgLine    = 18   // height of a line of text
	svgChar    = 7.3  // width of a character, for text of 12 to 13 pixels
	svgBold    = 1.12 // how much wider bold text is
	svgMinBox  = 150
	svgPodPad  = 8
	svgHeading = 30 // height of the picture's title
)

// SVG draws a plan as a picture: clients left, the fabric in the middle, LB nodes and pod nodes right, pods inside. It
// follows the reader's choice of light or dark, and brings its own background.
func SVG(p *Plan) ([]byte, error) {
	d := draw(p)
	s := &svg{drawing: d}
	s.layout()
	s.write()
	if err := xml.Unmarshal(s.out.Bytes(), new(struct{})); err != nil {
		return nil, fmt.Errorf("draw topology %s: %w", p.Name, err)
	}
	return s.out.Bytes(), nil
}

// svg is the state of one SVG.
type svg struct {
	*drawing
	out           bytes.Buffer
	left, right   []placed
	fabricText    []svgText
	width, height float64
	fabric        rect
}

type rect struct{ x, y, w, h float64 }

type placed struct {
	*box
	rect
}

// svgText is a line of text and its class.
type svgText struct{ class, text string }

func textWidth(text string) float64 { return float64(utf8.RuneCountInString(text)) * svgChar }

// layout computes where everything is drawn: columns as wide as their widest text, and as high as they need.
func (s *svg) layout() {
	s.fabricText = s.describeFabric()
	left, leftHeight := layOut(s.clients)
	right, rightHeight := layOut(s.cluster)
	s.left, s.right = left, right
	fabricHeight := float64(len(s.fabricText))*svgLine + 2*svgPad
	height := max(leftHeight, rightHeight, fabricHeight)
	top := float64(svgMargin + svgHeading)
	leftWire, rightWire := wireWidth(s.clients), wireWidth(s.cluster)

	x := float64(svgMargin)
	if len(left) > 0 {
		x = moveTo(left, x, top+(height-leftHeight)/2) + leftWire
	}
	s.fabric = rect{x, top, fabricWidth(s.fabricText), height}
	x += s.fabric.w
	if len(right) > 0 {
		x = moveTo(right, x+rightWire, top+(height-rightHeight)/2)
	}
	s.width, s.height = x+svgMargin, top+height+svgMargin
}

// layOut sizes the boxes of a column, from 0 downwards.
func layOut(boxes []box) (all []placed, height float64) {
	width := float64(svgMinBox)
	for i := range boxes {
		width = max(width, boxes[i].width())
	}
	for i := range boxes {
		h := boxes[i].height()
		all = append(all, placed{&boxes[i], rect{0, height, width, h}})
		height += h + svgGap
	}
	return all, max(height-svgGap, 0)
}

// moveTo moves a column and returns the right end of it.
func moveTo(column []placed, x, y float64) float64 {
	for i := range column {
		column[i].x += x
		column[i].y += y
	}
	return x + column[0].w
}

func wireWidth(boxes []box) float64 {
	width := float64(svgWire)
	for _, b := range boxes {
		for _, label := range b.wire {
			width = max(width, textWidth(label)+2*svgPad)
		}
	}
	return width
}

func fabricWidth(lines []svgText) float64 {
	width := float64(svgMinBox)
	for _, l := range lines {
		width = max(width, textWidth(l.text)+2*svgPad)
	}
	return width
}

func (b *box) width() float64 {
	width := textWidth(b.title())*svgBold + textWidth("  "+string(b.role)) + 2*svgPad
	for _, l := range append(b.lines, b.podsTitle()) {
		width = max(width, textWidth(l)+2*svgPad)
	}
	for _, p := range b.pods {
		width = max(width, textWidth(p.name+"  "+p.address)+2*svgPad+2*svgPodPad, textWidth(p.workload)+2*svgPad+2*svgPodPad)
	}
	return width
}

func (b *box) height() float64 {
	h := float64(1+len(b.lines))*svgLine + 2*svgPad - 4
	if b.podsTitle() != "" {
		h += svgLine
	}
	for i := range b.pods {
		h += b.pods[i].height() + svgPodPad
	}
	if b.more > 0 {
		h += svgLine
	}
	return h
}

func (p *podBox) height() float64 {
	if p.workload == "" {
		return svgLine + svgPodPad
	}
	return 2*svgLine + svgPodPad
}

// describeFabric is the text in the fabric.
func (s *svg) describeFabric() []svgText {
	lines := []svgText{{"name", "fabric"}}
	for _, n := range s.drawing.fabric {
		lines = append(lines, svgText{}, svgText{"text", n.name})
		for _, s := range n.subnets {
			lines = append(lines, svgText{"addr", s.prefix}, svgText{"addr muted", "gateway " + s.gateway})
		}
		if n.mtu != "" {
			lines = append(lines, svgText{"addr muted", n.mtu})
		}
	}
	for _, v := range s.vips {
		lines = append(lines, svgText{}, svgText{"name vip", "VIP " + v.address})
		for _, port := range v.ports {
			lines = append(lines, svgText{"addr", port})
		}
		via := v.via
		const shown = 3
		if len(via) > shown {
			via = append(append([]string{}, via[:shown]...), fmt.Sprintf("%d more", len(v.via)-shown))
		}
		lines = append(lines, svgText{"text vip", "→ " + strings.Join(via, ", ")})
	}
	return lines
}

func (s *svg) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *svg) text(class string, x, y float64, text string) {
	if text == "" {
		return
	}
	var escaped strings.Builder
	_ = xml.EscapeText(&escaped, []byte(text)) // a strings.Builder takes everything
	s.printf(`<text class="%s" x="%s" y="%s">%s</text>`, class, number(x), number(y), escaped.String())
}

func (s *svg) rect(class string, r rect, radius int) {
	s.printf(`<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="%d"/>`, class, number(r.x), number(r.y), number(r.w), number(r.h), radius)
}

// number writes a coordinate with at most one digit after the point.
func number(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}

func (s *svg) write() {
	s.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-label="topology">`,
		number(math.Ceil(s.width)), number(math.Ceil(s.height)), number(math.Ceil(s.width)), number(math.Ceil(s.height)))
	s.printf("<style>\n%s</style>", svgStyle())
	s.rect("page", rect{0, 0, math.Ceil(s.width), math.Ceil(s.height)}, 0)
	s.text("title", svgMargin, svgMargin+8, s.title)
	for i := range s.left {
		s.wire(&s.left[i], s.left[i].x+s.left[i].w, s.fabric.x)
	}
	for i := range s.right {
		s.wire(&s.right[i], s.fabric.x+s.fabric.w, s.right[i].x)
	}
	s.rect("fabric", s.fabric, 10)
	y := s.fabric.y + svgPad + 10
	for _, l := range s.fabricText {
		s.text(l.class, s.fabric.x+svgPad, y, l.text)
		y += svgLine
	}
	for _, column := range [][]placed{s.left, s.right} {
		for i := range column {
			s.node(&column[i])
		}
	}
	s.printf("</svg>")
}

// wire draws a wire, thicker the faster it is.
func (s *svg) wire(b *placed, from, to float64) {
	y := b.y + b.h/2
	class, width := "wire", 2.0
	if b.rate > 0 {
		width = min(max(math.Log10(float64(b.rate))*2-13.5, 1.5), 8)
	} else {
		class = "wire open"
	}
	s.printf(`<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s" stroke-width="%s"/>`, class, number(from), number(y), number(to), number(y), number(width))
	middle := (from + to) / 2
	for i, label := range b.wire {
		at := y - 8
		if i > 0 {
			at = y + 18
		}
		s.text("rate", middle, at, label)
	}
}

func (s *svg) node(b *placed) {
	s.rect("box "+string(b.role), b.rect, 10)
	x, y := b.x+svgPad, b.y+svgPad+10
	s.text("name", x, y, b.title())
	s.text("role "+string(b.role)+"-ink", b.x+b.w-svgPad, y, string(b.role))
	for _, l := range append(b.lines, b.podsTitle()) {
		if l != "" {
			y += svgLine
			s.text("addr", x, y, l)
		}
	}
	y += svgPodPad
	for i := range b.pods {
		pod := &b.pods[i]
		r := rect{x, y, b.w - 2*svgPad, pod.height()}
		s.rect("pod "+string(b.role), r, 6)
		s.text("text", r.x+svgPodPad, r.y+17, pod.name)
		s.text("addr right", r.x+r.w-svgPodPad, r.y+17, pod.address)
		s.text("addr muted", r.x+svgPodPad, r.y+17+svgLine, pod.workload)
		y += r.h + svgPodPad
	}
	if b.more > 0 {
		s.text("addr muted", x, y+10, fmt.Sprintf("and %d more", b.more))
	}
}

// svgStyle colours by classes, with a second set of colours for dark pages.
func svgStyle() string {
	return `text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328}
.title{font-size:17px;font-weight:600}
.name{font-weight:600}
.addr{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.rate{font-weight:600;text-anchor:middle}
.role,.right{text-anchor:end}
.role{font-size:11px}
.page{fill:#fff}.muted{fill:#59636e}.vip{fill:#7a3fd1}
.wire{stroke:#6e7781}.open{stroke-dasharray:5 4}
.fabric{fill:#f3f4f6;stroke:#8c959f;stroke-width:1.5}
.box,.pod{stroke-width:1.5}
.client{fill:#eaf1ff;stroke:#3b6fd4}.lb{fill:#fff3dc;stroke:#b7791f}.worker{fill:#e6f6ec;stroke:#2f8f5b}
.nlb{fill:#fdeaf3;stroke:#b23c77}.router{fill:#e2f5f7;stroke:#1b7985}
.client-ink{fill:#2f5db8}.lb-ink{fill:#8a5a12}.worker-ink{fill:#22704a}
.nlb-ink{fill:#8f2c5d}.router-ink{fill:#125f69}
.pod{fill:#fff}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}
.page{fill:#0d1117}.muted{fill:#9198a1}.vip{fill:#c9a6ff}
.wire{stroke:#8b949e}
.fabric{fill:#161b22;stroke:#6e7681}
.client{fill:#12233f;stroke:#6ea0ff}.lb{fill:#33260d;stroke:#e0a94a}.worker{fill:#10291b;stroke:#57c088}
.nlb{fill:#35152a;stroke:#e787b7}.router{fill:#0e2b30;stroke:#5bbcc9}
.client-ink{fill:#8fb5ff}.lb-ink{fill:#efbf6b}.worker-ink{fill:#7bd3a3}
.nlb-ink{fill:#f2a9cd}.router-ink{fill:#86d3dd}
.pod{fill:#0d1117}
}
`
}

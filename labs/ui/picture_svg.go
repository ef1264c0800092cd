package ui

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/dsrlab/dsrlab/results/units"
	"github.com/dsrlab/dsrlab/topologies"
)

// Draw draws a topology for the page, which colours it and fills in rates. What changes has data attributes: data-node with data-lane,
// data-text or data-box, and data-from with data-to and data-kind for ways through the fabric.
func Draw(plan *topologies.Plan, l Layout) ([]byte, error) {
	p := &picture{layout: layOut(plan, l), kind: l}
	p.write(plan)
	if err := xml.Unmarshal(p.out.Bytes(), new(struct{})); err != nil {
		return nil, fmt.Errorf("draw topology %s: %w", plan.Name, err)
	}
	return p.out.Bytes(), nil
}

type picture struct {
	*layout
	kind Layout
	out  bytes.Buffer
}

func (p *picture) printf(format string, args ...any) { fmt.Fprintf(&p.out, format+"\n", args...) }

// number writes a coordinate with at most one digit after the point.
func number(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") }

func escaped(text string) string {
	var s strings.Builder
	_ = xml.EscapeText(&s, []byte(text)) // a strings.Builder takes everything
	return s.String()
}

func (p *picture) text(class, attributes string, x, y float64, text string) {
	p.printf(`<text class="%s"%s x="%s" y="%s">%s</text>`, class, attributes, number(x), number(y), escaped(text))
}

func (p *picture) write(plan *topologies.Plan) {
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" class="topology %s" viewBox="0 0 %s %s" role="img" aria-label="topology %s">`,
		p.kind, number(p.width), number(p.height), escaped(plan.Name))
	p.printf(`<rect class="fabric" x="%s" y="%s" width="%s" height="%s" rx="10"/>`, number(p.fabricX), number(p.top), number(p.fabric), number(p.height-2*p.top))
	p.text("fabric-name", "", p.fabricX+p.fabric/2, p.top+p.line, "fabric")
	p.drawWays()
	for i := range p.boxes {
		p.drawWire(&p.boxes[i])
	}
	for i := range p.boxes {
		p.drawNode(&p.boxes[i])
	}
	if p.notDrawn > 0 {
		p.text("detail", "", p.fabricX+p.fabric+p.wire, p.height-p.top, fmt.Sprintf("and %d more nodes", p.notDrawn))
	}
	p.printf(`<circle class="packet" cx="0" cy="0" r="9"/>`)
	p.printf("</svg>")
}

// drawWays draws every way that a request or a reply may take through the fabric.
func (p *picture) drawWays() {
	hasPods := func(at *box) bool { return len(at.pods) > 0 }
	for i := range p.boxes {
		for j := range p.boxes {
			a, b := &p.boxes[i], &p.boxes[j]
			client, lb := a.Role == topologies.RoleClient, a.Role == topologies.RoleLB
			if i == j || b.Role.OutsideCluster() {
				continue
			}
			if client {
				p.path(a, b, Request, "requestOut", "requestIn")
				p.path(b, a, Reply, "replyOut", "replyIn")
			}
			if lb && hasPods(b) {
				p.path(a, b, Request, "requestOut", "requestIn")
				p.path(b, a, Reply, "replyOut", "replyIn")
			}
		}
	}
}

func (p *picture) path(from, to *box, kind Kind, fromLane, toLane string) {
	d := p.way(from, fromLane, to, toLane)
	attributes := fmt.Sprintf(`data-from="%s" data-to="%s" data-kind="%s"`, escaped(from.Name), escaped(to.Name), kind)
	p.drawWay(kind, attributes, d)
}

// drawWay draws a path twice: as wide as its rate, and with the marks that move along it.
func (p *picture) drawWay(kind Kind, attributes, d string) {
	p.printf(`<g class="way %s" %s><path class="body" d="%s"/><path class="marks" d="%s"/></g>`, kind, attributes, d, d)
}

// drawWire draws a node's wire with its lanes, and room for what it carries.
func (p *picture) drawWire(at *box) {
	inner := at.x
	if at.side < 0 {
		inner = at.x + at.w
	}
	middle := at.y + at.h/2
	p.printf(`<line class="wire" x1="%s" y1="%s" x2="%s" y2="%s"/>`, number(at.port), number(middle), number(inner), number(middle))
	name := escaped(at.Name)
	lanes := lanesOf(at.Role)
	for _, l := range lanes {
		y := p.laneY(at, l.name)
		from, to := inner, at.port
		if l.toNode {
			from, to = to, from
		}
		p.drawWay(l.kind, fmt.Sprintf(`data-node="%s" data-lane="%s"`, name, l.name), fmt.Sprintf("M%s %s H%s", number(from), number(y), number(to)))
	}
	reach := float64(len(lanes)) / 2 * p.lane
	if at.Role == topologies.RoleWorker {
		reach = 2 * p.lane
	}
	p.printf(`<circle class="port" cx="%s" cy="%s" r="5"/>`, number(at.port), number(middle))
	x, toNode, fromNode := (at.port+inner)/2, middle-reach-7, middle+reach+p.line-6
	if at.Role == topologies.RoleClient { // each rate beside its lane
		toNode, fromNode = fromNode, toNode
	}
	p.text("rate", fmt.Sprintf(` data-node="%s" data-text="toNode"`, name), x, toNode, "")
	p.text("rate", fmt.Sprintf(` data-node="%s" data-text="fromNode"`, name), x, fromNode, "")
}

func (p *picture) drawNode(at *box) {
	name := escaped(at.Name)
	p.printf(`<g class="node %s" data-box="%s">`, at.Role, name)
	p.printf(`<rect class="box" x="%s" y="%s" width="%s" height="%s" rx="10"/>`, number(at.x), number(at.y), number(at.w), number(at.h))
	x, y := at.x+p.pad, at.y+p.pad+p.line*0.7
	p.text("name", "", x, y, at.Name)
	p.text("role", "", at.x+at.w-p.pad, y, string(at.Role))
	for _, a := range at.Addresses {
		y += p.line
		p.text("detail", "", x, y, a.Addr().String())
	}
	y += p.line
	p.text("detail", fmt.Sprintf(` data-node="%s" data-text="limit"`, name), x, y, limitText(at.ToNode))
	y += 10
	for _, pod := range at.pods {
		h := p.line + 4
		p.printf(`<rect class="pod" x="%s" y="%s" width="%s" height="%s" rx="6"/>`, number(x), number(y), number(at.w-2*p.pad), number(h))
		p.text("pod-name", "", x+8, y+h*0.7, pod.Name)
		p.text("pod-address", "", at.x+at.w-p.pad-8, y+h*0.7, pod.Addresses[0].String())
		y += h + 4
	}
	if at.more > 0 {
		p.text("detail", "", x, y+p.line*0.7, fmt.Sprintf("and %d more pods", at.more))
	}
	p.printf("</g>")
}

// limitText describes a port's limit; what drops is told beside it.
func limitText(s topologies.Shape) string {
	switch {
	case s.Rate == 0:
		return "port not limited"
	case s.Limit == topologies.LimitPolice:
		return "port " + units.Format(float64(s.Rate), "bit/s") + ", policed"
	}
	return "port " + units.Format(float64(s.Rate), "bit/s") + ", shaped"
}

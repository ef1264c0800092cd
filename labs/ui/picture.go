package ui

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/dsrlab/dsrlab/topologies"
)

// Layout is how the picture of a topology is laid out.
type Layout string

const (
	Wide   Layout = "wide"   // clients left of the fabric, all other nodes right
	Narrow Layout = "narrow" // all nodes right of the fabric, for phones
)

// maxDrawn is how many nodes are drawn: clients first, then LB nodes.
const maxDrawn = 14

// maxDrawnPods is how many pods are drawn on a node.
const maxDrawnPods = 4

// rank orders nodes: clients, what is in front of LB nodes, those, and pod nodes.
func rank(r topologies.Role) int {
	return slices.Index([]topologies.Role{topologies.RoleClient, topologies.RoleRouter, topologies.RoleNLB, topologies.RoleLB, topologies.RoleWorker}, r)
}

// drawnNodes are the nodes that are drawn, from top to bottom.
func drawnNodes(plan *topologies.Plan) []topologies.Node {
	all := slices.Clone(plan.Nodes)
	slices.SortStableFunc(all, func(a, b topologies.Node) int { return cmp.Compare(rank(a.Role), rank(b.Role)) })
	return all[:min(len(all), maxDrawn)]
}

// measures of a layout, in the picture's units.
type measures struct {
	margin, box, wire, fabric float64 // widths
	pad, line, gap            float64
	lane                      float64 // distance of lanes on a wire
	bend                      float64 // how far ways between two nodes on one side reach into the fabric
}

func measuresOf(l Layout) measures {
	if l == Narrow {
		return measures{margin: 6, box: 196, wire: 104, fabric: 76, pad: 10, line: 18, gap: 12, lane: 13, bend: 66}
	}
	return measures{margin: 6, box: 250, wire: 150, fabric: 150, pad: 12, line: 22, gap: 14, lane: 18, bend: 140}
}

// box is a node in the picture.
type box struct {
	*topologies.Node
	pods       []topologies.Pod
	more       int // pods that are not drawn
	x, y, w, h float64
	// port is where the wire meets the fabric; side is 1 if the node is right of it, -1 if left.
	port, side float64
}

// layout is where everything is.
type layout struct {
	measures
	width, height float64
	fabricX, top  float64
	boxes         []box
	notDrawn      int
}

func layOut(plan *topologies.Plan, l Layout) *layout {
	p := &layout{measures: measuresOf(l), top: 6}
	nodes := drawnNodes(plan)
	p.notDrawn = len(plan.Nodes) - len(nodes)
	p.fabricX = p.margin
	clientsLeft := l == Wide
	if clientsLeft {
		p.fabricX += p.box + p.wire
	}
	right := p.fabricX + p.fabric + p.wire
	p.width = right + p.box + p.margin
	left, rightY := p.top, p.top
	for i := range nodes {
		n := &nodes[i]
		at := box{Node: n, w: p.box, x: right, side: 1, port: p.fabricX + p.fabric}
		for _, pod := range plan.Pods {
			if pod.Node == n.Name {
				at.pods = append(at.pods, pod)
			}
		}
		if len(at.pods) > maxDrawnPods {
			at.more = len(at.pods) - maxDrawnPods + 1
			at.pods = at.pods[:maxDrawnPods-1]
		}
		at.h = p.heightOf(&at)
		y := &rightY
		if clientsLeft && n.Role == topologies.RoleClient {
			at.x, at.side, at.port, y = p.margin, -1, p.fabricX, &left
		}
		at.y = *y
		*y += at.h + p.gap
		p.boxes = append(p.boxes, at)
	}
	p.height = max(left, rightY) - p.gap + p.top
	for i := range p.boxes { // the shorter column is centred
		if column := left; p.boxes[i].side < 0 {
			p.boxes[i].y += (p.height - p.top - (column - p.gap)) / 2
		} else if rightY < left {
			p.boxes[i].y += (left - rightY) / 2
		}
	}
	if p.notDrawn > 0 {
		p.height += p.line
	}
	return p
}

// heightOf is the height of a node: of its text, and at least what its lanes with their labels need.
func (p *layout) heightOf(at *box) float64 {
	lines := 3 + len(at.Addresses) - 1
	h := 2*p.pad + float64(lines)*p.line + float64(len(at.pods))*(p.line+8)
	if at.more > 0 {
		h += p.line
	}
	return max(h, 4*p.lane+2*p.line)
}

// laneY is the height of a lane on a node's wire.
func (p *layout) laneY(at *box, lane string) float64 {
	middle := at.y + at.h/2
	if at.Role == topologies.RoleClient {
		return middle + map[string]float64{"requestOut": -0.6, "replyIn": 0.6}[lane]*p.lane
	}
	return middle + map[string]float64{"requestIn": -1.5, "replyOut": -0.5, "requestOut": 0.5, "replyIn": 1.5}[lane]*p.lane
}

// lanesOf are the lanes on a node's wire, and whether each is towards it.
func lanesOf(role topologies.Role) []lane {
	switch {
	case role == topologies.RoleClient:
		return []lane{{"requestOut", Request, false}, {"replyIn", Reply, true}}
	case role.OutsideCluster():
		return nil
	case role == topologies.RoleWorker:
		return []lane{{"requestIn", Request, true}, {"replyOut", Reply, false}}
	}
	return []lane{{"requestIn", Request, true}, {"replyOut", Reply, false}, {"requestOut", Request, false}, {"replyIn", Reply, true}}
}

type lane struct {
	name   string
	kind   Kind
	toNode bool
}

// way is the path through the fabric from one node's port to another's.
func (p *layout) way(from *box, fromLane string, to *box, toLane string) string {
	y1, y2 := p.laneY(from, fromLane), p.laneY(to, toLane)
	if from.side != to.side {
		reach := p.fabric * 0.5
		return fmt.Sprintf("M%s %s C%s %s %s %s %s %s", number(from.port), number(y1),
			number(from.port-from.side*reach), number(y1), number(to.port-to.side*reach), number(y2), number(to.port), number(y2))
	}
	reach := min(p.bend, 30+0.45*max(y1-y2, y2-y1)) * 4 / 3
	x := number(from.port - from.side*min(reach, p.fabric*1.25))
	return fmt.Sprintf("M%s %s C%s %s %s %s %s %s", number(from.port), number(y1), x, number(y1), x, number(y2), number(to.port), number(y2))
}

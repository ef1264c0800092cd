package topologies

import "slices"

// Scaled returns the plan with the rates of all links divided by divisor, which must be 1 or more. Bursts, queues and the overhead
// of frames keep their bytes, because a frame does not shrink. p is left as it is.
func (p *Plan) Scaled(divisor int) *Plan {
	scaled := *p
	scaled.Nodes = slices.Clone(p.Nodes)
	for i := range scaled.Nodes {
		n := &scaled.Nodes[i]
		n.ToNode, n.FromNode = n.ToNode.scaled(divisor), n.FromNode.scaled(divisor)
	}
	return &scaled
}

// Raised returns the plan with the rates of all links multiplied by a factor of 1 or more, and all else as it is.
func (p *Plan) Raised(factor float64) *Plan {
	raised := p.Scaled(1)
	for i := range raised.Nodes {
		for _, shape := range []*Shape{&raised.Nodes[i].ToNode, &raised.Nodes[i].FromNode} {
			shape.Rate = Rate(float64(shape.Rate) * factor)
		}
	}
	return raised
}

// scaled is the shape with its rate divided; without a rate it stays without.
func (s Shape) scaled(divisor int) Shape {
	if s.Rate > 0 {
		s.Rate = max(s.Rate/Rate(divisor), 1)
	}
	return s
}

// Limited reports whether any link of the plan has a rate.
func (p *Plan) Limited() bool {
	return slices.ContainsFunc(p.Nodes, func(n Node) bool { return n.Limited() })
}

// Limited reports whether the node's link has a rate in any direction.
func (n *Node) Limited() bool { return n.ToNode.Rate > 0 || n.FromNode.Rate > 0 }

package ui

import (
	"time"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/labs/observe"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// Reading holds counters and tables of a testbed at a time, and what has happened since the one before.
type Reading struct {
	At     time.Time
	Nodes  map[string]NodeReading
	Tables Tables
	// Flows are the newest since the reading before, in the order of their times; Left is how many older ones were left out.
	Flows []observe.Flow
	Left  uint64
	// Story is what the lab that the page has started last has told.
	Story Story
}

// NodeReading holds a node's counters.
type NodeReading struct {
	Up               bool
	ToNode, FromNode shape.Stats
	// Reasons are what our data path has counted, by the names of its reasons; nil where the node does not run it.
	Reasons map[string]dataplane.Traffic
}

// visible is the rate from which traffic is shown, in bit/s: less is neighbour discovery and keepalives.
const visible = 2000

// tunnelBytes are what Geneve adds to a frame without its option, over IPv4.
const tunnelBytes = 50

// ratesBetween returns what the nodes' ports carried between two readings. nodes are in the order of the result.
func ratesBetween(nodes []topologies.Node, before, now Reading) []Node {
	seconds := now.At.Sub(before.At).Seconds()
	all := make([]Node, 0, len(nodes))
	for i := range nodes {
		n, old := now.Nodes[nodes[i].Name], before.Nodes[nodes[i].Name]
		all = append(all, Node{
			Name: nodes[i].Name, Role: nodes[i].Role, Up: n.Up,
			ToNode:   directionBetween(old.ToNode, n.ToNode, seconds),
			FromNode: directionBetween(old.FromNode, n.FromNode, seconds),
		})
	}
	return all
}

func directionBetween(before, now shape.Stats, seconds float64) Direction {
	return Direction{
		Rate: 8 * perSecond(before.Bytes, now.Bytes, seconds), Drops: perSecond(before.Drops, now.Drops, seconds),
		LimitRate: float64(now.Shape.Rate), Limit: now.Shape.Limit,
	}
}

// perSecond is 0 where the counter began anew.
func perSecond(before, now uint64, seconds float64) float64 {
	if seconds <= 0 || now < before {
		return 0
	}
	return float64(now-before) / seconds
}

// split is what a node's port carries, in bit/s, by whence and whither.
type split struct {
	fromClients, fromLB, repliesIn float64 // towards the node
	toPods, toClients, toLB        float64 // from the node
}

// scale makes the parts of each direction add up to what the port carried: frames are counted there as they are on the wire, and in the
// data path with several in one, and without the tunnel.
func (s *split) scale(toNode, fromNode float64) {
	if sum := s.fromClients + s.fromLB + s.repliesIn; sum > 0 {
		s.fromClients, s.fromLB, s.repliesIn = s.fromClients*toNode/sum, s.fromLB*toNode/sum, s.repliesIn*toNode/sum
	}
	if sum := s.toPods + s.toClients + s.toLB; sum > 0 {
		s.toPods, s.toClients, s.toLB = s.toPods*fromNode/sum, s.toClients*fromNode/sum, s.toLB*fromNode/sum
	}
}

// splitOf splits the traffic of a cluster's node by what its data path has counted. translated is how much SNAT's replies come to at
// all LB nodes: pod nodes send them as any other packet, and count no reason of their own.
func splitOf(n Node, before, now NodeReading, seconds, translated float64) split {
	rate := func(reasons ...string) float64 {
		sum := 0.0
		for _, r := range reasons {
			sum += 8 * perSecond(before.Reasons[r].Bytes, now.Reasons[r].Bytes, seconds)
		}
		return sum
	}
	encapsulated := 0.0
	for _, r := range []string{"to-overlay-dsr", "to-overlay-snat"} {
		encapsulated += 8 * tunnelBytes * perSecond(before.Reasons[r].Packets, now.Reasons[r].Packets, seconds)
	}
	s := split{
		fromClients: rate("to-overlay-dsr", "to-overlay-snat", "to-endpoint"),
		fromLB:      rate("from-overlay"),
		repliesIn:   rate("reply-from-snat"),
		toPods:      rate("to-overlay-dsr", "to-overlay-snat") + encapsulated,
		toClients:   rate("reply-direct", "reply-from-snat"),
	}
	if s.fromLB >= visible && translated >= visible {
		s.toLB = min(translated, max(0, n.FromNode.Rate-s.toPods-s.toClients))
	}
	s.scale(n.ToNode.Rate, n.FromNode.Rate)
	return s
}

// guess splits the traffic of a node that runs another data path, or none: an LB node has requests and replies in the proportion that
// clients have.
func guess(n Node, requests, replies float64, byLB bool) split {
	s := split{fromClients: 1, toClients: 1}
	switch {
	case n.Role == topologies.RoleLB && requests+replies > 0:
		s = split{fromClients: requests, repliesIn: replies, toPods: requests, toClients: replies}
	case byLB:
		s = split{fromLB: 1, toLB: 1}
	}
	s.scale(n.ToNode.Rate, n.FromNode.Rate)
	return s
}

// waysBetween sets the lanes of nodes, and returns which way requests and replies took between two readings.
func waysBetween(nodes []Node, before, now Reading) []Way {
	seconds := now.At.Sub(before.At).Seconds()
	var requests, replies, translated float64
	byLB := false
	for _, n := range nodes {
		if n.Role == topologies.RoleClient {
			requests, replies = requests+n.FromNode.Rate, replies+n.ToNode.Rate
		}
		byLB = byLB || n.Role == topologies.RoleLB && n.FromNode.Rate >= visible
		const snat = "reply-from-snat"
		translated += 8 * perSecond(before.Nodes[n.Name].Reasons[snat].Bytes, now.Nodes[n.Name].Reasons[snat].Bytes, seconds)
	}
	splits := make([]split, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		switch {
		case n.Role == topologies.RoleClient:
			n.Lanes = Lanes{RequestOut: n.FromNode.Rate, ReplyIn: n.ToNode.Rate}
			continue
		case n.Role.OutsideCluster():
			continue
		case now.Nodes[n.Name].Reasons != nil:
			splits[i] = splitOf(*n, before.Nodes[n.Name], now.Nodes[n.Name], seconds, translated)
		default:
			splits[i] = guess(*n, requests, replies, byLB)
		}
		s := &splits[i]
		n.Lanes = Lanes{RequestIn: s.fromClients + s.fromLB, RequestOut: s.toPods, ReplyIn: s.repliesIn, ReplyOut: s.toClients + s.toLB}
	}
	return ways(nodes, splits)
}

// ways shares out the traffic of each node to the nodes at the other end.
func ways(nodes []Node, splits []split) []Way {
	requestsOf := func(i int) float64 {
		if nodes[i].Role == topologies.RoleClient {
			return nodes[i].FromNode.Rate
		}
		return 0
	}
	repliesOf := func(i int) float64 {
		if nodes[i].Role == topologies.RoleClient {
			return nodes[i].ToNode.Rate
		}
		return 0
	}
	all := []Way{}
	add := func(kind Kind, from, to func(int) float64) {
		total := 0.0
		for i := range nodes {
			total += to(i)
		}
		for i := range nodes {
			for j := range nodes {
				if rate := from(i) * to(j) / max(total, 1); i != j && rate >= visible {
					all = append(all, Way{From: nodes[i].Name, To: nodes[j].Name, Kind: kind, Rate: rate})
				}
			}
		}
	}
	add(Request, requestsOf, func(i int) float64 { return splits[i].fromClients })
	add(Request, func(i int) float64 { return splits[i].toPods }, func(i int) float64 { return splits[i].fromLB })
	add(Reply, func(i int) float64 { return splits[i].toLB }, func(i int) float64 { return splits[i].repliesIn })
	add(Reply, func(i int) float64 { return splits[i].toClients }, repliesOf)
	return all
}

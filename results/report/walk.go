package report

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/results/units"
)

// Walk is one request and its reply on their way through the nodes, as the captures of one variant of a run hold them.
type Walk struct {
	// Phase and Variant are those whose captures they are.
	Phase, Variant string
	// Nodes are those that captured, in the order in which they are drawn.
	Nodes []WalkNode
	// Hops are the request's, the reply's, and then those of what the client sent if it rejected the reply.
	Hops []WalkHop
	// Missing says why there are no hops, as a part of a sentence; empty if there are.
	Missing string
}

// WalkNode is a node that captured.
type WalkNode struct {
	// Name, Role in words and Address; Role is empty where the name says it.
	Name, Role, Address string
	// LB is set for an LB node.
	LB bool
	// Pod names the pod on the node that the request is for; empty on all nodes but one.
	Pod string
}

// WalkHop is a packet on the wire from one node to another.
type WalkHop struct {
	// From and To number Nodes.
	From, To int
	Reply    bool
	// Packet is what of the connection it is, as in SYN.
	Packet string
	// Source and Destination are those of the inner packet, where there is a tunnel.
	Source, Destination netip.AddrPort
	// TTL is the time to live with which it was sent, ArrivedTTL that with which it arrived.
	TTL, ArrivedTTL uint8
	Tunnel          *WalkTunnel // nil without
	// Without are the nodes whose captures do not hold this packet, on any hop.
	Without []int
}

// WalkTunnel is the Geneve encapsulation of a hop.
type WalkTunnel struct {
	Source, Destination netip.Addr
	VNI                 uint32
	TTL, ArrivedTTL     uint8
	// Option is the class and type of the DSR option, Frontend what it holds; empty without one.
	Option   string
	Frontend netip.AddrPort
}

// walkCharts makes a chart of each walk that the picture is about, named after the picture and the variant.
func (p Picture) walkCharts(walks []Walk) []Chart {
	var charts []Chart
	for _, w := range p.walks(walks) {
		if w.Missing != "" {
			continue
		}
		charts = append(charts, Chart{
			Name: p.Name + "-" + w.Variant, Title: p.Title + ": " + w.Variant, walk: &w,
			Caption: w.summary() + fmt.Sprintf(" From the run's captures raw/%s-%s-*.pcapng.", w.Phase, w.Variant), scale: units.Scale{Divisor: 1},
		})
	}
	return charts
}

// walks are those that the picture is about, in its order.
func (p Picture) walks(walks []Walk) []Walk {
	of := slices.DeleteFunc(slices.Clone(walks), func(w Walk) bool {
		return w.Phase != p.Walk || len(p.Variants) > 0 && !slices.Contains(p.Variants, w.Variant)
	})
	slices.SortStableFunc(of, func(a, b Walk) int { return slices.Index(p.Variants, a.Variant) - slices.Index(p.Variants, b.Variant) })
	return of
}

// notes say why walks are missing that a lab chose to show.
func (s Story) notes() []string {
	var notes []string
	for _, p := range s.Pictures {
		if p.Walk == "" {
			continue
		}
		for _, w := range p.walks(s.Walks) {
			if w.Missing != "" {
				notes = append(notes, fmt.Sprintf("No packet walk of %s: %s.", w.Variant, w.Missing))
			}
		}
	}
	return notes
}

// change is what the node that sent a hop had changed of the packet.
type change struct{ source, destination, tunnel bool }

// changed compares a hop with the one before it; the first reply with the request that it answers, whose addresses it has the other way round.
func (w *Walk) changed(i int) change {
	if i == 0 {
		return change{}
	}
	hop, before := w.Hops[i], w.Hops[i-1]
	source, destination := before.Source, before.Destination
	if hop.Reply != before.Reply {
		source, destination = destination, source
		before.Tunnel = nil
	}
	return change{hop.Source != source, hop.Destination != destination, hop.Tunnel != nil && (before.Tunnel == nil || *hop.Tunnel != *before.Tunnel)}
}

// words say what was changed.
func (c change) words() string {
	var parts []string
	for _, part := range []struct {
		set  bool
		text string
	}{{c.source, "source"}, {c.destination, "destination"}, {c.tunnel, "Geneve added"}} {
		if part.set {
			parts = append(parts, part.text)
		}
	}
	return strings.Join(parts, ", ")
}

// past are the nodes between the ends of a hop as they are drawn whose captures do not hold the packet.
func (w *Walk) past(hop WalkHop) []int {
	low, high := min(hop.From, hop.To), max(hop.From, hop.To)
	return slices.DeleteFunc(slices.Clone(hop.Without), func(i int) bool { return i <= low || i >= high })
}

// parts are the hops of the request, the reply, and the client's rejection of it, which is empty if it accepted the reply.
func (w *Walk) parts() (request, reply, rejection []WalkHop) {
	first := slices.IndexFunc(w.Hops, func(h WalkHop) bool { return h.Reply })
	rest := w.Hops[first:]
	end := slices.IndexFunc(rest, func(h WalkHop) bool { return !h.Reply })
	if end < 0 {
		return w.Hops[:first], rest, nil
	}
	return w.Hops[:first], rest[:end], rest[end:]
}

// summary says what the walk shows: whom the pod saw, and by which way whose reply came.
func (w *Walk) summary() string {
	request, reply, rejection := w.parts()
	called, arrives, comes := request[0], request[len(request)-1], reply[len(reply)-1]
	seen := arrives.Source.Addr()
	whose := ""
	if seen == called.Source.Addr() {
		whose = ", the client"
	} else if i := slices.IndexFunc(w.Nodes, func(n WalkNode) bool { return n.Address == seen.String() }); i >= 0 {
		whose = ", " + w.Nodes[i].Name
	}
	var through []string
	for _, hop := range reply[1:] {
		through = append(through, w.Nodes[hop.From].Name)
	}
	way := "straight from " + w.Nodes[reply[0].From].Name
	if len(through) > 0 {
		way = "through " + strings.Join(through, " and ")
	}
	s := fmt.Sprintf("The request reaches the pod node from %v%s. The reply comes %s, from %v", seen, whose, way, comes.Source)
	if comes.Source == called.Destination {
		s += ", which the client called."
	} else {
		s += fmt.Sprintf("; the client called %v.", called.Destination)
	}
	if len(rejection) > 0 {
		s += " The client rejects it."
	}
	return s
}

// describe says hop by hop what the walk shows.
func (w *Walk) describe() string {
	var parts []string
	for i, row := range w.rows() {
		text := fmt.Sprintf("%d: %s", i+1, strings.Join(slices.DeleteFunc(row[1:5], func(s string) bool { return s == "" }), ", "))
		if row[6] != "" {
			text += ", changed: " + row[6]
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// walkColumns are the titles of what rows has.
func walkColumns() []string {
	return []string{"", "Hop", "Packet", "Source → destination", "Geneve", "TTL", "Changed by the sender"}
}

// rows are the hops as a table.
func (w *Walk) rows() [][]string {
	var rows [][]string
	for i, hop := range w.Hops {
		tunnel := ""
		if t := hop.Tunnel; t != nil {
			tunnel = fmt.Sprintf("%v → %v, VNI %d", t.Source, t.Destination, t.VNI)
			if t.Option != "" {
				tunnel += fmt.Sprintf(", option (%s): %v", t.Option, t.Frontend)
			}
		}
		way := w.Nodes[hop.From].Name + " → " + w.Nodes[hop.To].Name
		for _, past := range w.past(hop) {
			way += ", not at " + w.Nodes[past].Name
		}
		rows = append(rows, []string{
			fmt.Sprint(i + 1), way, w.word(i) + ", " + hop.Packet, fmt.Sprintf("%v → %v", hop.Source, hop.Destination), tunnel, ttl(hop.TTL, hop.ArrivedTTL), w.changed(i).words(),
		})
	}
	return rows
}

// word says what a hop belongs to.
func (w *Walk) word(i int) string {
	switch {
	case w.Hops[i].Reply:
		return "reply"
	case i > 0 && slices.ContainsFunc(w.Hops[:i], func(h WalkHop) bool { return h.Reply }):
		return "rejection"
	}
	return "request"
}

// ttl is the time to live, and what became of it on the wire.
func ttl(sent, arrived uint8) string {
	if sent == arrived {
		return fmt.Sprint(sent)
	}
	return fmt.Sprintf("%d, then %d", sent, arrived)
}

package assess

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// arrival judges whether a node's network stack accepts the client's packets that another node has handed on, in one family.
func (j *judge) arrival(name string, f family) {
	own, client := j.delivered(name, f, SourceOwn), j.delivered(name, f, SourceClient)
	if client.outcome() != lost || own.outcome() == lost {
		return // delivered, not tried, or nothing at all is delivered there
	}
	node := j.nodes[name]
	e := Evidence{Node: name, What: "UDP with the client's source, handed on by another node, that the interface received", Sent: client.sent, Seen: client.arrived}
	e.Note = "'arrived' counts what the network stack delivered"
	s := sign{hurts: HurtsPairs, node: name, family: f}
	mode, known := node.ReversePath[node.Device]
	switch {
	case f == ipv6: // the filter is IPv4's alone
		s.causes = []Cause{NodeFilter}
	case known && mode == 1:
		e.Note += fmt.Sprintf("; rp_filter of %s is 1, strict", node.Device)
		s.causes = []Cause{RPFilter}
	case known:
		e.Note += fmt.Sprintf("; rp_filter of %s is %d, not strict", node.Device, mode)
		s.causes = []Cause{NodeFilter}
	default:
		s.causes = []Cause{RPFilter, NodeFilter}
	}
	s.evidence = []Evidence{e}
	if own.sent > 0 {
		s.evidence = append(s.evidence, Evidence{Node: name, What: "the same with the other node's source", Sent: own.sent, Seen: own.arrived})
	}
	j.found(s)
}

// rules judges the node's own rules. Probes go around them, so what they say of connections is possible, and not seen.
func (j *judge) rules(name string) {
	drops := j.nodes[name].DropsInvalid
	if drops == nil || !*drops || j.blames(name, ConntrackInvalid) || j.blames(name, ClientUnreachable) {
		return
	}
	evidence := []Evidence{{
		Node: name, What: "a rule of the node drops packets of connections that it does not know",
		Note: "it matters if the data path hands pods' replies to netfilter; one of eBPF programs alone does not",
	}}
	for _, f := range j.families {
		j.found(sign{causes: []Cause{ConntrackInvalid}, possible: true, hurts: HurtsTCP, node: name, family: f, evidence: evidence})
		evidence = nil // it is the same for all
	}
}

// delivered is how many packets arrived at a node's interface from others, and how many of them its stack delivered.
func (j *judge) delivered(name string, f family, kind SourceKind) (sum tally) {
	for _, p := range j.direct[name] {
		if !p.Foreign && p.SourceKind == kind && p.Delivered != nil && familyOf(p.Destination) == f {
			sum = sum.plus(tallyOf(p.Arrived, *p.Delivered, nil))
		}
	}
	return sum
}

// wayIn judges what nodes see of calls to frontends.
func (j *judge) wayIn() {
	all := slices.Clone(j.o.WayIn)
	slices.SortFunc(all, func(a, b WayInProbe) int {
		return cmp.Or(a.Frontend.Address.Compare(b.Frontend.Address), cmp.Compare(a.Frontend.Service, b.Frontend.Service), a.Source.Compare(b.Source))
	})
	for _, p := range all {
		seen := slices.Clone(p.Seen)
		slices.SortFunc(seen, func(a, b Sighting) int {
			return cmp.Or(cmp.Compare(a.Node, b.Node), a.Destination.Compare(b.Destination), a.Source.Compare(b.Source))
		})
		arrived := 0
		for _, s := range seen {
			arrived += s.Count
		}
		if t := tallyOf(p.Sent, arrived, nil); t.outcome() != passed {
			j.miss(Unknown{Frontend: &p.Frontend, What: fmt.Sprintf("what nodes see of calls to %v: %s", p.Frontend.Address, counted(t))})
		}
		for _, s := range seen {
			j.destination(p, s)
			j.source(p, s)
		}
	}
	if len(all) == 0 && len(j.names) > 0 {
		j.miss(Unknown{What: "what nodes see of calls to frontends: not tried"})
	}
}

func (j *judge) destination(p WayInProbe, s Sighting) {
	if s.Destination == p.Frontend.Address || s.Count == 0 {
		return
	}
	cause, hurts := DNATLoadBalancer, HurtsVIP
	if p.Frontend.Kind == NodeAddress {
		cause, hurts = NodeBehindNAT, HurtsNodePorts
	}
	j.found(sign{causes: []Cause{cause}, hurts: hurts, frontend: &p.Frontend, family: familyOf(p.Frontend.Address.Addr()), evidence: []Evidence{{
		Node: s.Node, What: fmt.Sprintf("calls to %v", p.Frontend.Address), Sent: p.Sent, Seen: s.Count,
		Note: fmt.Sprintf("the destination was %v on arrival", s.Destination),
	}}})
}

// source judges a source that is not the client's. A translator at the client's own end does no harm: it sees both directions. It shows
// in calls to every frontend.
func (j *judge) source(p WayInProbe, s Sighting) {
	if s.Source == p.Source || s.Count == 0 {
		return
	}
	f := familyOf(p.Source)
	kept, altered := j.controlSources(f)
	if p.Frontend.Kind == NodeAddress && j.knowsByOther(p.Frontend) {
		return // told by the destination
	}
	if slices.Contains(altered, s.Source) && len(kept) == 0 {
		return // the client's own translator
	}
	hurts := HurtsVIP
	if p.Frontend.Kind == NodeAddress {
		hurts = HurtsNodePorts
	}
	j.found(sign{causes: []Cause{SNATOnTheWay}, hurts: hurts, frontend: &p.Frontend, family: f, possible: len(kept)+len(altered) == 0, evidence: []Evidence{{
		Node: s.Node, What: fmt.Sprintf("calls of %v to %v", p.Source, p.Frontend.Address), Sent: p.Sent, Seen: s.Count,
		Note: fmt.Sprintf("the source was %v on arrival", s.Source),
	}}})
}

// controlSources are the sources that calls to node addresses arrived with: the client's own, and others.
func (j *judge) controlSources(f family) (kept, altered []netip.Addr) {
	for _, p := range j.o.WayIn {
		if p.Frontend.Kind != NodeAddress || familyOf(p.Source) != f {
			continue
		}
		for _, s := range p.Seen {
			switch {
			case s.Count == 0:
			case s.Source == p.Source:
				kept = append(kept, s.Source)
			case !slices.Contains(altered, s.Source):
				altered = append(altered, s.Source)
			}
		}
	}
	return kept, altered
}

// knowsByOther reports whether the frontend is an address of a node that the node does not have itself.
func (j *judge) knowsByOther(f Frontend) bool {
	return !slices.ContainsFunc(j.nodes[f.Node].Addresses, func(p netip.Prefix) bool { return p.Addr() == f.Address.Addr() })
}

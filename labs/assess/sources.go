package assess

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// node judges which sources a node may send with to the client, in one family.
func (j *judge) node(name string, f family) {
	s := spoofsOf(j.spoof[name], f)
	own := s.own(UDP, false)
	switch own.outcome() {
	case untried, unclear:
		j.miss(Unknown{Node: name, What: fmt.Sprintf("whether the node's own packets reach the client over %v, without which other sources tell nothing (%s)", f, counted(own))})
		return
	case lost:
		cause := ClientUnreachable
		if own.heldBack() {
			cause = NodeFilter
		}
		j.found(sign{causes: []Cause{cause}, hurts: HurtsEveryone, node: name, family: f, evidence: []Evidence{s.ownUDP(name)}})
		return
	}
	vips, others := s.of(SourceVIP, UDP, false), s.of(SourceOtherNode, UDP, false)
	j.translated(name, f, s, own, slices.Concat(vips, others))
	lostVIPs, lostOthers := with(vips, lost), with(others, lost)
	if len(lostVIPs)+len(lostOthers) > 0 {
		j.filtered(name, f, s, hurtBy(len(lostVIPs), len(lostOthers)))
	}
	for _, want := range []struct {
		kind   SourceKind
		all    []tally
		needed bool
	}{{SourceVIP, vips, j.vips[f]}, {SourceOtherNode, others, !j.vips[f] && len(j.names) > 1}} {
		known := len(with(want.all, lost)) + len(with(want.all, passed))
		if want.needed && known == 0 || known < len(want.all) {
			j.miss(Unknown{Node: name, What: fmt.Sprintf("whether the client gets the node's packets with the source of %s over %v", kindName(want.kind), f)})
		}
	}
	j.replies(name, f, s)
}

func hurtBy(vips, others int) Hurts {
	switch {
	case others == 0:
		return HurtsVIP
	case vips == 0:
		return HurtsNodePorts
	}
	return HurtsEveryone
}

// callsVIPs reports whether clients call VIPs here, in one family: a service that nodes answer for each other has one, or the prober tried one.
func (j *judge) callsVIPs(f family) bool {
	return slices.ContainsFunc(j.o.Services, func(s Service) bool {
		return answersAcrossNodes(s) && slices.ContainsFunc(vipsOf(s.Service, j.own), func(a netip.Addr) bool { return familyOf(a) == f })
	}) ||
		slices.ContainsFunc(j.o.WayIn, func(p WayInProbe) bool { return p.Frontend.Kind == VIP && familyOf(p.Frontend.Address.Addr()) == f }) ||
		slices.ContainsFunc(j.o.Spoof, func(p SpoofProbe) bool { return p.Kind == SourceVIP && familyOf(p.Source) == f })
}

// translated finds out who changed the source of packets that arrived.
func (j *judge) translated(name string, f family, s spoofs, own tally, foreign []tally) {
	if own.altered.IsValid() {
		e := s.ownUDP(name)
		j.found(sign{causes: []Cause{NodeBehindNAT}, hurts: HurtsNodePorts, node: name, family: f, evidence: []Evidence{e}})
	}
	var evidence []Evidence
	hurts := HurtsNodePorts
	for _, t := range foreign {
		if t.altered.IsValid() {
			kind := SourceOtherNode
			if slices.ContainsFunc(s.of(SourceVIP, UDP, false), func(v tally) bool { return v.source == t.source }) {
				kind, hurts = SourceVIP, HurtsEveryone
			}
			evidence = append(evidence, evidenceOf(name, kind, UDP, false, t))
		}
	}
	if len(evidence) > 0 {
		cause := SNATOnTheWay
		if slices.ContainsFunc(foreign, func(t tally) bool { return t.altered == own.altered && own.altered.IsValid() }) {
			cause = NodeBehindNAT // the same translator, which takes everything for the node's
		}
		j.found(sign{causes: []Cause{cause}, hurts: hurts, node: name, family: f, evidence: evidence})
	}
}

// filtered finds out what drops foreign sources.
func (j *judge) filtered(name string, f family, s spoofs, hurts Hurts) {
	foreignIn := j.foreignTo(name, f)
	routers := s.reached(s.lostSources())
	evidence := s.filterEvidence(name, foreignIn, routers)
	j.found(sign{causes: j.filters(name, s, foreignIn, len(routers) > 0), hurts: hurts, node: name, family: f, evidence: evidence})
}

// filters are the kinds of filters that the evidence allows: each is ruled out by what it would not do. Beyond: packets that were lost
// had passed a router.
func (j *judge) filters(name string, s spoofs, foreignIn tally, beyond bool) (causes []Cause) {
	replies := slices.Concat(s.of(SourceVIP, UDP, false), s.of(SourceOtherNode, UDP, false))
	unrelated, near := s.of(SourceUnrelated, UDP, false), j.near(name, s.of(SourceOtherNode, UDP, false))
	if slices.ContainsFunc(replies, tally.heldBack) && !slices.ContainsFunc(replies, tally.gotOut) {
		return []Cause{NodeFilter}
	}
	some := func(all []tally, o outcome) bool { return len(with(all, o)) > 0 }
	in := foreignIn.outcome()
	if !some(replies, passed) && !some(unrelated, passed) && in != passed && !beyond {
		causes = append(causes, SourceCheck)
	}
	if in != lost && !beyond && !some(unrelated, passed) && !some(near, passed) {
		causes = append(causes, PortSecurity)
	}
	if in != lost && !some(near, lost) {
		causes = append(causes, URPF)
	}
	if !slices.ContainsFunc(replies, tally.gotOut) && !beyond && in != lost {
		causes = append(causes, NodeFilter)
	}
	if len(causes) == 0 {
		causes = []Cause{SourceFilter}
	}
	return causes
}

// lostSources are the foreign sources that packets are lost with.
func (s spoofs) lostSources() []netip.Addr {
	return sourcesOf(with(slices.Concat(s.of(SourceVIP, UDP, false), s.of(SourceOtherNode, UDP, false), s.of(SourceUnrelated, UDP, false)), lost))
}

// filterEvidence is what was sent with each source, and how far it got.
func (s spoofs) filterEvidence(name string, foreignIn tally, routers []netip.Addr) []Evidence {
	evidence := []Evidence{s.ownUDP(name)}
	for _, kind := range []SourceKind{SourceVIP, SourceOtherNode, SourceUnrelated} {
		for _, t := range s.of(kind, UDP, false) {
			evidence = append(evidence, evidenceOf(name, kind, UDP, false, t))
		}
	}
	note := ""
	if len(routers) > 0 {
		note = fmt.Sprintf("those with a limited TTL got as far as the router %v: the filter is behind it", routers[len(routers)-1])
	} else if own := s.reached(sourcesOf(s.of(SourceOwn, UDP, false))); len(own) > 0 {
		note = fmt.Sprintf("the first router, %v, answers the node's own packets with a TTL of 1, and not these: the filter is there, or before it", own[0])
	}
	if note != "" && evidence[1].Note != "" {
		note = evidence[1].Note + "; " + note
	}
	evidence[1].Note = cmp.Or(note, evidence[1].Note)
	if foreignIn.sent > 0 {
		evidence = append(evidence, Evidence{Node: name, What: "UDP to the node with a destination that is not the node's own", Sent: foreignIn.sent, Seen: foreignIn.arrived})
	}
	return evidence
}

// near returns the addresses of other nodes on the node's own network, which a router would see come from the right side.
func (j *judge) near(name string, others []tally) []tally {
	return slices.DeleteFunc(slices.Clone(others), func(t tally) bool {
		return !slices.ContainsFunc(j.nodes[name].Addresses, func(p netip.Prefix) bool { return p.Contains(t.source) })
	})
}

// foreignTo is what a node was sent that is not for an address of its own.
func (j *judge) foreignTo(name string, f family) (sum tally) {
	for _, p := range j.direct[name] {
		if p.Foreign && p.SourceKind == SourceOwn && familyOf(p.Destination) == f {
			sum = sum.plus(tallyOf(p.Sent, p.Arrived, p.Left))
		}
	}
	return sum
}

func kindName(k SourceKind) string {
	switch k {
	case SourceOwn:
		return "the node's own address"
	case SourceVIP:
		return "a VIP"
	case SourceOtherNode:
		return "another node"
	case SourceClient:
		return "the client"
	}
	return "an address that no host here has"
}

func counted(t tally) string {
	if t.sent == 0 {
		return "not tried"
	}
	return fmt.Sprintf("%d sent, %d arrived", t.sent, t.arrived)
}

// ownUDP is the control: UDP with the node's own source.
func (s spoofs) ownUDP(node string) Evidence {
	return evidenceOf(node, SourceOwn, UDP, false, s.own(UDP, false))
}

func evidenceOf(node string, kind SourceKind, protocol Protocol, solicited bool, t tally) Evidence {
	what := "UDP"
	switch {
	case protocol == SYNACK && solicited:
		what = "SYN-ACK that answers the client's SYN"
	case protocol == SYNACK:
		what = "unsolicited SYN-ACK"
	}
	what += " with the source of " + kindName(kind)
	if t.source.IsValid() {
		what = fmt.Sprintf("%s, %v", what, t.source)
	}
	e := Evidence{Node: node, What: what, Sent: t.sent, Seen: t.arrived}
	switch {
	case t.altered.IsValid():
		e.Note = fmt.Sprintf("the source was %v on arrival", t.altered)
	case t.heldBack():
		e.Note = "none left the node"
	case t.outcome() == lost && t.leftKnown && t.left >= t.sent:
		e.Note = "all left the node"
	}
	return e
}

package assess

import (
	"fmt"
	"net/netip"
	"slices"
)

// replies judges whether TCP replies of a node reach the client, in one family: SYN-ACKs with a frontend as source.
//
// Where a foreign source is lost over UDP, too, or was not tried, its SYN-ACKs tell nothing about TCP. What is left then is whether the node's own
// pass that nobody asked for: if not, something on the way remembers connections.
func (j *judge) replies(name string, f family, s spoofs) {
	free := sourcesOf(with(slices.Concat(s.of(SourceVIP, UDP, false), s.of(SourceOtherNode, UDP, false)), passed))
	open := slices.DeleteFunc(slices.Concat(s.of(SourceVIP, SYNACK, true), s.of(SourceOtherNode, SYNACK, true)), func(t tally) bool {
		return !slices.Contains(free, t.source)
	})
	if bad := with(open, lost); len(bad) > 0 {
		j.tcpLost(name, f, s, bad, false)
		return
	}
	connections := j.connections(name, f)
	switch connections.outcome() {
	case passed:
		return
	case lost:
		if slices.Contains(free, connections.source) {
			j.tcpLost(name, f, s, []tally{connections}, false)
			return
		}
	}
	// Where some connections pass and most do not, it says nothing that some SYN-ACKs passed: these may be of the entry node itself.
	if len(with(open, passed)) > 0 && (connections.sent < enough || connections.outcome() == lost) {
		return
	}
	own := s.own(SYNACK, false)
	if own.outcome() == lost {
		j.tcpLost(name, f, s, nil, true)
		return
	}
	if j.blamesSource(name) {
		return // TCP replies are lost with all others; what else there is shows once that is mended
	}
	unasked := slices.Concat(s.of(SourceVIP, SYNACK, false), s.of(SourceOtherNode, SYNACK, false))
	if own.outcome() != passed || len(unasked) == 0 || len(with(unasked, passed)) < len(unasked) {
		j.miss(Unknown{Node: name, What: fmt.Sprintf("whether the client gets the node's TCP replies over %v", f)})
	}
}

func (j *judge) blamesSource(name string) bool {
	return slices.ContainsFunc([]Cause{SourceCheck, PortSecurity, URPF, SourceFilter, NodeFilter}, func(c Cause) bool { return j.blames(name, c) })
}

// connections are the SYN-ACKs of connections that entered at another node, as far as their SYNs arrived there.
func (j *judge) connections(name string, f family) (sum tally) {
	for _, entry := range j.names {
		if entry == name {
			continue
		}
		for _, p := range j.wayBacks[Pair{entry, name}] {
			if familyOf(p.Frontend.Address.Addr()) == f {
				t := tallyOf(p.SYNs, p.SYNACKs, nil)
				t.source = p.Frontend.Address.Addr()
				sum = sum.plus(t)
			}
		}
	}
	return sum
}

// tcpLost finds out what drops a node's SYN-ACKs where its UDP packets pass. Lost are those that answer a SYN; there are none where only
// those were tried that nobody asked for. Possible: it may be that the firewall sees the SYNs of real connections.
func (j *judge) tcpLost(name string, f family, s spoofs, gone []tally, possible bool) {
	asked, unasked := s.own(SYNACK, true), s.own(SYNACK, false)
	evidence := []Evidence{s.ownUDP(name)}
	for _, t := range gone {
		evidence = append(evidence, evidenceOf(name, j.kindOf(t), SYNACK, true, t))
	}
	if asked.sent > 0 {
		evidence = append(evidence, evidenceOf(name, SourceOwn, SYNACK, true, asked))
	}
	if unasked.sent > 0 {
		evidence = append(evidence, evidenceOf(name, SourceOwn, SYNACK, false, unasked))
	}
	if !slices.ContainsFunc(gone, func(t tally) bool { return t.leftKnown }) {
		gone = append(slices.Clone(gone), unasked) // the node's rules take it for the same
	}
	held := slices.ContainsFunc(gone, tally.heldBack)
	left := slices.ContainsFunc(gone, tally.gotOut) || unasked.outcome() == passed
	drops := j.nodes[name].DropsInvalid
	sg := sign{hurts: HurtsTCP, node: name, family: f, evidence: evidence, possible: possible}
	switch {
	case held && drops != nil && !*drops:
		sg.causes, sg.possible = []Cause{NodeFilter}, false
	case held && drops == nil: // nobody knows
		sg.causes, sg.possible = []Cause{ConntrackInvalid, NodeFilter}, false
	case held:
		sg.causes, sg.possible = []Cause{ConntrackInvalid}, false
	case asked.outcome() == lost:
		sg.causes, sg.possible = []Cause{ClientUnreachable}, false
	case !left && (drops == nil || *drops):
		sg.causes = []Cause{StatefulFirewall, ConntrackInvalid}
	default:
		sg.causes = []Cause{StatefulFirewall}
		sg.possible = possible && !s.lostAtPort()
	}
	j.found(sg)
}

// lostAtPort reports whether the node's unasked SYN-ACKs are lost before the first router, which answers its UDP packets: where a request
// that enters at another node does not pass.
func (s spoofs) lostAtPort() bool {
	answered, tried := map[Protocol]bool{}, map[Protocol]bool{}
	for key, t := range s {
		if key.kind == SourceOwn && key.ttl == 1 && !key.solicited && t.sent >= enough {
			tried[key.protocol] = true
			if slices.ContainsFunc(t.errors, func(e ICMPError) bool { return e.Kind == TimeExceeded }) {
				answered[key.protocol] = true
			}
		}
	}
	return tried[SYNACK] && answered[UDP] && !answered[SYNACK]
}

// kindOf tells a node's address from a VIP.
func (j *judge) kindOf(t tally) SourceKind {
	for _, n := range j.nodes {
		if slices.ContainsFunc(n.Addresses, func(p netip.Prefix) bool { return p.Addr() == t.source }) {
			return SourceOtherNode
		}
	}
	return SourceVIP
}

// pause judges whether connections survive that enter at one node and are answered by another, in one family.
func (j *judge) pause(pair Pair, f family) {
	across, control := j.wayBack(pair.From, pair.To, f), j.wayBack(pair.From, pair.From, f)
	if !j.isEntry(pair.From, f) {
		return
	}
	begins := tallyOf(across.SYNs, across.SYNACKs, nil)
	if (begins.outcome() != passed || across.SYNACKs < enough) && !j.losesReplies(pair.To) {
		j.miss(Unknown{Pair: &pair, What: fmt.Sprintf("whether TCP connections begin over %v (SYN-ACKs: %s)", f, counted(begins))})
	}
	if across.SYNACKs < enough {
		return
	}
	says := func(p WayBackProbe, what string, sent, seen int) Evidence {
		node := Pair{p.Entry, p.Answer}.String()
		return Evidence{Node: node, What: what, Sent: sent, Seen: seen}
	}
	s := sign{causes: []Cause{StatefulFirewall}, pair: pair, family: f}
	begun := says(across, "SYN-ACKs to the client", across.SYNs, across.SYNACKs)
	switch {
	case across.DataBefore == 0:
		s.hurts = HurtsTCP
		s.evidence = []Evidence{begun, says(across, "the client's first data on these connections", across.SYNACKs, across.DataBefore)}
		if control.SYNACKs >= enough && control.DataBefore == 0 {
			return // no matter who answers
		}
		s.possible = control.DataBefore == 0
	case across.Idle.Duration > 0 && across.DataBefore >= enough && min(across.DataAfter, across.AnswersAfter) == 0:
		s.hurts = HurtsIdle
		s.evidence = []Evidence{begun,
			says(across, fmt.Sprintf("the client's data after a pause of %v", across.Idle.Duration), across.DataBefore, across.DataAfter),
			says(across, "answers to it", across.DataAfter, across.AnswersAfter)}
		if control.DataBefore >= enough && min(control.DataAfter, control.AnswersAfter) == 0 {
			return
		}
		s.possible = min(control.DataAfter, control.AnswersAfter) == 0
	default:
		lasts := tallyOf(across.SYNACKs, across.DataBefore, nil)
		if across.Idle.Duration > 0 {
			lasts = tallyOf(across.SYNACKs, min(across.DataBefore, across.DataAfter, across.AnswersAfter), nil)
		}
		if lasts.outcome() != passed {
			j.miss(Unknown{Pair: &pair, What: fmt.Sprintf("whether TCP connections last over %v (%s)", f, counted(lasts))})
		}
		return
	}
	if control.Opened > 0 {
		s.evidence = append(s.evidence, says(control, "for comparison, the client's data where the node that was called answers", control.SYNACKs, max(control.DataAfter, control.DataBefore)))
	}
	j.found(s)
}

// isEntry reports whether calls to VIPs come in by the node, in one family.
func (j *judge) isEntry(name string, f family) bool {
	for pair, probes := range j.wayBacks {
		if pair.From == name && slices.ContainsFunc(probes, func(p WayBackProbe) bool { return p.SYNs > 0 && familyOf(p.Frontend.Address.Addr()) == f }) {
			return true
		}
	}
	return slices.ContainsFunc(j.o.WayIn, func(p WayInProbe) bool {
		return p.Frontend.Kind == VIP && familyOf(p.Frontend.Address.Addr()) == f &&
			slices.ContainsFunc(p.Seen, func(s Sighting) bool { return s.Node == name && s.Count > 0 })
	})
}

// losesReplies reports whether a finding says that replies of the node do not reach the client.
func (j *judge) losesReplies(name string) bool {
	return slices.ContainsFunc(j.signs, func(s sign) bool {
		return s.node == name && !s.possible && slices.Contains([]Hurts{HurtsEveryone, HurtsVIP, HurtsTCP}, s.hurts)
	})
}

// wayBack is the sum of the connections that enter and are answered at these nodes.
func (j *judge) wayBack(entry, answer string, f family) (sum WayBackProbe) {
	sum.Entry, sum.Answer = entry, answer
	for _, p := range j.wayBacks[Pair{entry, answer}] {
		if familyOf(p.Frontend.Address.Addr()) != f {
			continue
		}
		sum.Opened, sum.SYNs, sum.SYNACKs, sum.ACKs = sum.Opened+p.Opened, sum.SYNs+p.SYNs, sum.SYNACKs+p.SYNACKs, sum.ACKs+p.ACKs
		sum.DataBefore, sum.DataAfter, sum.AnswersAfter = sum.DataBefore+p.DataBefore, sum.DataAfter+p.DataAfter, sum.AnswersAfter+p.AnswersAfter
		sum.Idle.Duration = max(sum.Idle.Duration, p.Idle.Duration)
	}
	return sum
}

package assess

import (
	"cmp"
	"fmt"
	"slices"
)

// tunnelKey is what tunnel probes have in common that are alike.
type tunnelKey struct {
	geneve bool
	option bool
	size   int
}

// tunnels are the tunnel probes between two nodes in one direction and one family.
type tunnels map[tunnelKey]tally

func (j *judge) tunnels(pair Pair, f family) (all tunnels, bad Evidence) {
	all = tunnels{}
	bad = Evidence{Node: pair.String(), What: "Geneve with a right checksum, and the bytes that were sent"}
	for _, p := range j.between[pair] {
		if familyOf(p.Destination) != f {
			continue
		}
		t := tallyOf(p.Sent, p.Arrived, p.Left)
		t.errors = p.Errors
		key := tunnelKey{p.Port == GenevePort, p.Option && p.Port == GenevePort, p.Size}
		all[key] = all[key].plus(t)
		if key.geneve && p.BadChecksum > 0 {
			bad.Sent, bad.Seen = bad.Sent+p.Arrived, bad.Seen+p.Arrived-p.BadChecksum
		}
	}
	return all, bad
}

// sizes returns the sizes with the outcome, in ascending order, of all kinds of probes that match.
func (t tunnels) sizes(o outcome, match func(tunnelKey) bool) []int {
	var all []int
	for key, one := range t {
		if match(key) && one.outcome() == o {
			all = append(all, key.size)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func isGeneve(k tunnelKey) bool    { return k.geneve }
func isControl(k tunnelKey) bool   { return !k.geneve }
func hasOption(k tunnelKey) bool   { return k.option }
func lacksOption(k tunnelKey) bool { return k.geneve && !k.option }

// tunnel judges whether Geneve passes from one node to another, in one family, and up to which size.
func (j *judge) tunnel(pair Pair, f family) {
	all, bad := j.tunnels(pair, f)
	arrived, gone := all.sizes(passed, isGeneve), all.sizes(lost, isGeneve)
	control := all.sizes(passed, isControl)
	switch {
	case len(arrived)+len(gone) == 0:
		j.miss(Unknown{Pair: &pair, What: fmt.Sprintf("whether Geneve passes over %v", f)})
		return
	case len(arrived) == 0:
		j.blocked(pair, f, all, gone[0])
		if len(control) > 0 {
			j.limit(pair, f, all, isControl) // what a larger packet would meet, once Geneve passes
		}
		return
	}
	if bad.Sent > 0 {
		j.found(sign{causes: []Cause{ChecksumOffload}, hurts: HurtsPairs, pair: pair, family: f, evidence: []Evidence{bad}})
	}
	if len(all.sizes(passed, hasOption)) > 0 {
		j.limit(pair, f, all, hasOption)
		return
	}
	without, dropped := all.sizes(passed, lacksOption), all.sizes(lost, hasOption)
	if len(without) > 0 && len(dropped) > 0 && dropped[0] <= without[len(without)-1] {
		j.found(sign{causes: []Cause{OptionDropped}, hurts: HurtsPairs, pair: pair, family: f, evidence: []Evidence{
			all.evidence(pair, tunnelKey{true, true, dropped[0]}), all.evidence(pair, tunnelKey{true, false, without[len(without)-1]}),
		}})
	} else {
		j.miss(Unknown{Pair: &pair, What: fmt.Sprintf("whether Geneve with a DSR option passes over %v", f)})
	}
	j.limit(pair, f, all, lacksOption)
}

// small returns the size that every path carries: RFC 791 has hosts accept as much, RFC 8200 links carry it.
func small(f family) int {
	if f == ipv6 {
		return 1280
	}
	return 576
}

// blocked finds out why no Geneve arrives, of which size is the smallest that was sent.
func (j *judge) blocked(pair Pair, f family, all tunnels, size int) {
	key := tunnelKey{true, false, size}
	if all[key].outcome() != lost {
		key.option = true
	}
	control, silent := all.sizes(passed, isControl), all.sizes(lost, isControl)
	carried := small(f)
	if len(control) > 0 {
		carried = max(carried, control[len(control)-1])
	}
	// Without the option, and not too large.
	plain := slices.DeleteFunc(all.sizes(lost, lacksOption), func(size int) bool { return size > carried })
	s := sign{hurts: HurtsPairs, pair: pair, family: f, evidence: []Evidence{all.evidence(pair, key)}}
	if len(control) > 0 {
		s.evidence = append(s.evidence, all.evidence(pair, tunnelKey{size: control[len(control)-1]}))
	} else if len(silent) > 0 {
		s.evidence = append(s.evidence, all.evidence(pair, tunnelKey{size: silent[0]}))
	}
	behindNAT := j.blames(pair.From, NodeBehindNAT) || j.blames(pair.To, NodeBehindNAT)
	switch {
	case all[key].heldBack():
		s.causes = []Cause{NodeFilter}
	case size > carried:
		j.miss(Unknown{Pair: &pair, What: fmt.Sprintf("whether Geneve passes over %v: only large packets were tried", f)})
		return
	case len(control) > 0 && len(plain) == 0:
		s.causes = []Cause{GeneveBlocked, OptionDropped}
	case len(control) > 0:
		s.causes = []Cause{GeneveBlocked}
	case len(silent) > 0 && silent[0] <= small(f) && behindNAT:
		s.causes = []Cause{NodeBehindNAT}
	case len(silent) > 0 && silent[0] <= small(f):
		s.causes = []Cause{NodesApart}
	case len(plain) == 0:
		s.causes = []Cause{GeneveBlocked, OptionDropped, NodesApart}
	default:
		s.causes = []Cause{GeneveBlocked, NodesApart}
	}
	j.found(s)
}

// vlanTag is the length of an 802.1Q tag in bytes.
const vlanTag = 4

// limit finds out what limits the size of packets between two nodes, below the MTU of the one that sends.
func (j *judge) limit(pair Pair, f family, all tunnels, match func(tunnelKey) bool) {
	arrived, gone := all.sizes(passed, match), all.sizes(lost, match)
	mtu, other := j.nodes[pair.From].MTU, j.nodes[pair.To].MTU
	if len(arrived) == 0 {
		return
	}
	least := arrived[len(arrived)-1] // the path carries this
	gone = slices.DeleteFunc(gone, func(size int) bool { return size <= least || mtu > 0 && size > mtu })
	if len(gone) == 0 {
		if mtu == 0 || least < mtu {
			j.miss(Unknown{Pair: &pair, What: fmt.Sprintf("whether packets of the node's whole MTU pass over %v", f)})
		}
		return
	}
	most := gone[0] - 1 // and not more than this
	evidence := []Evidence{all.largest(pair, match, least), all.largest(pair, match, gone[0])}
	evidence[0].Note = fmt.Sprintf("the MTU of %s is %d, that of %s %d", pair.From, mtu, pair.To, other)
	within := func(size int) bool { return least <= size && size <= most }
	tagged := within(mtu-vlanTag) || within(mtu-2*vlanTag) || other > 0 && other < mtu && (within(other-vlanTag) || within(other-2*vlanTag))
	s := sign{hurts: HurtsLarge, pair: pair, family: f, evidence: evidence}
	switch {
	case other > 0 && other < mtu && least <= other+vlanTag && other <= most: // many devices receive a tag more than their MTU
		s.causes = []Cause{MTUMixed}
	case mtu > 0 && tagged && (least == most || most-least < vlanTag):
		s.causes = []Cause{VLANOverhead}
	case tagged:
		s.causes = []Cause{MTUTooSmall, VLANOverhead}
	default:
		s.causes = []Cause{MTUTooSmall}
	}
	j.found(s)
	if other > 0 && most < other && other < mtu {
		j.found(sign{causes: []Cause{MTUMixed}, possible: true, hurts: HurtsLarge, pair: pair, family: f, evidence: evidence[:1]})
	}
}

// largest is the evidence of the probe of a size.
func (t tunnels) largest(pair Pair, match func(tunnelKey) bool, size int) Evidence {
	var keys []tunnelKey
	for key := range t {
		if match(key) && key.size == size {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b tunnelKey) int { return cmp.Compare(a.text(), b.text()) })
	return t.evidence(pair, keys[0])
}

func (k tunnelKey) text() string {
	switch {
	case k.option:
		return "Geneve with a DSR option"
	case k.geneve:
		return "Geneve"
	}
	return "UDP to another port"
}

func (t tunnels) evidence(pair Pair, key tunnelKey) Evidence {
	one := t[key]
	e := Evidence{Node: pair.String(), What: fmt.Sprintf("%s, %d bytes", key.text(), key.size), Sent: one.sent, Seen: one.arrived}
	if one.heldBack() {
		e.Note = "none left the node"
	}
	for _, err := range one.errors {
		if err.Kind == TooBig {
			e.Note = fmt.Sprintf("%v reported a limit of %d bytes", err.From, err.MTU)
		}
	}
	return e
}

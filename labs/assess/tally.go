package assess

import (
	"cmp"
	"net/netip"
	"slices"
)

// enough is how many packets must have been sent before their absence means anything.
const enough = 3

// outcome is what became of a probe.
type outcome int

const (
	untried outcome = iota // not sent
	unclear                // too few sent, or some arrived and most did not
	lost                   // none arrived
	passed                 // half or more arrived
)

// tally is the sum of all probes that are alike.
type tally struct {
	source        netip.Addr
	sent, arrived int
	// left is how many left the sender; known if that was observed of all.
	left      int
	leftKnown bool
	altered   netip.Addr // the source as seen, where it is not the one sent
	errors    []ICMPError
}

func (t tally) outcome() outcome {
	switch {
	case t.sent == 0:
		return untried
	case t.arrived == 0 && t.sent >= enough:
		return lost
	case t.arrived*2 >= t.sent:
		return passed
	}
	return unclear
}

// heldBack reports whether none of the packets left its sender.
func (t tally) heldBack() bool { return t.outcome() == lost && t.leftKnown && t.left == 0 }

// gotOut reports whether packets that were lost are known to have left their sender.
func (t tally) gotOut() bool { return t.outcome() == lost && t.leftKnown && t.left > 0 }

// plus adds what was seen of other packets.
func (t tally) plus(o tally) tally {
	if t.sent == 0 {
		o.source = cmpAddr(t.source, o.source)
		return o
	}
	t.sent, t.arrived, t.left = t.sent+o.sent, t.arrived+o.arrived, t.left+o.left
	t.leftKnown = t.leftKnown && o.leftKnown
	t.altered = cmpAddr(t.altered, o.altered)
	t.errors = append(slices.Clone(t.errors), o.errors...)
	return t
}

// cmpAddr returns the lesser of the valid addresses, so that sums do not depend on the order of probes.
func cmpAddr(a, b netip.Addr) netip.Addr {
	if !a.IsValid() || b.IsValid() && b.Less(a) {
		return b
	}
	return a
}

func tallyOf(sent, arrived int, left *int) tally {
	t := tally{sent: sent, arrived: min(arrived, sent), leftKnown: left != nil}
	if left != nil {
		t.left = *left
	}
	return t
}

// family is an address family.
type family bool

const (
	ipv4 family = false
	ipv6 family = true
)

func familyOf(a netip.Addr) family { return family(a.Unmap().Is6()) }

func (f family) String() string {
	if f == ipv6 {
		return "IPv6"
	}
	return "IPv4"
}

// spoofKey is what spoof probes have in common that are alike.
type spoofKey struct {
	source    netip.Addr
	kind      SourceKind
	protocol  Protocol
	solicited bool
	ttl       int
}

// spoofs are the spoof probes of one node in one family.
type spoofs map[spoofKey]tally

func spoofsOf(all []SpoofProbe, f family) spoofs {
	s := spoofs{}
	for _, p := range all {
		if familyOf(p.Source) != f {
			continue
		}
		t := tallyOf(p.Sent, p.Arrived, p.Left)
		t.source, t.errors = p.Source, p.Errors
		if p.Arrived > 0 && p.SeenSource.IsValid() && p.SeenSource != p.Source {
			t.altered = p.SeenSource
		}
		key := spoofKey{p.Source, p.Kind, p.Protocol, p.Solicited, p.TTL}
		s[key] = s[key].plus(t)
	}
	return s
}

// of returns the probes with the usual TTL, one tally for each source, in the order of sources.
func (s spoofs) of(kind SourceKind, protocol Protocol, solicited bool) []tally {
	var all []tally
	for key, t := range s {
		if key.kind == kind && key.protocol == protocol && key.solicited == solicited && key.ttl == 0 && t.sent > 0 {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b tally) int { return a.source.Compare(b.source) })
	return all
}

// own is the sum of the probes with the node's own source.
func (s spoofs) own(protocol Protocol, solicited bool) (sum tally) {
	for _, t := range s.of(SourceOwn, protocol, solicited) {
		sum = sum.plus(t)
	}
	return sum
}

// reached returns the routers that a probe with a limited TTL and one of these sources has got to, in the order of TTLs.
func (s spoofs) reached(sources []netip.Addr) []netip.Addr {
	type hop struct {
		ttl  int
		from netip.Addr
	}
	var hops []hop
	for key, t := range s {
		if key.ttl == 0 || !slices.Contains(sources, key.source) {
			continue
		}
		for _, e := range t.errors {
			if e.Kind == TimeExceeded {
				hops = append(hops, hop{key.ttl, e.From})
			}
		}
	}
	slices.SortFunc(hops, func(a, b hop) int { return cmp.Or(cmp.Compare(a.ttl, b.ttl), a.from.Compare(b.from)) })
	var routers []netip.Addr
	for _, h := range slices.Compact(hops) {
		routers = append(routers, h.from)
	}
	return slices.Compact(routers)
}

// with returns the tallies that have the outcome.
func with(all []tally, o outcome) []tally {
	return slices.DeleteFunc(slices.Clone(all), func(t tally) bool { return t.outcome() != o })
}

func sourcesOf(all []tally) []netip.Addr {
	addrs := make([]netip.Addr, len(all))
	for i, t := range all {
		addrs[i] = t.source
	}
	return addrs
}

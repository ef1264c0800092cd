package prober

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// Ports of the client's calls, and how many calls there are to a frontend: enough to reach each of a few nodes among which they are spread.
const (
	firstCall = probe.FirstPort + 16
	calls     = 12
)

// probeWayIn calls each frontend with SYNs, and looks for them at all nodes. The client's kernel, which knows nothing of them, resets the
// connections that come about.
func (ob *observer) probeWayIn(ctx context.Context, _ bool) error {
	for _, f := range ob.Frontends {
		source := ob.Client.address(f.Address.Addr().Is6())
		if !source.IsValid() {
			continue
		}
		ids := ob.call(ctx, source, f.Address, calls, 0)
		if len(ids) == 0 {
			continue
		}
		seen := ob.entries(ids)
		ob.out.WayIn = append(ob.out.WayIn, assess.WayInProbe{Frontend: f, Source: source, Sent: len(ids), Seen: seen})
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// call sends SYNs to a frontend, each from a port of its own, and waits until all of them have arrived at some node, or the patience ends,
// and then until each node has told what it saw before: a node to which a SYN was forwarded may tell of it first.
func (ob *observer) call(ctx context.Context, from netip.Addr, to netip.AddrPort, count int, ttl uint8) []uint32 {
	var ids []uint32
	for i := range count {
		id := ob.journal.newID()
		err := ob.stations[ob.Client.Name].Send(ctx, probe.Probe{ID: id, Kind: probe.KindTCP, Flags: probe.SYN, TTL: ttl,
			Source: netip.AddrPortFrom(from, firstCall+uint16(i)), Destination: to})
		if err != nil {
			ob.unread("", "call to "+to.String(), err)
			return ids
		}
		ids = append(ids, id)
	}
	ob.await(ctx, ob.Patience, ob.machines(), func() bool {
		return !slices.ContainsFunc(ids, func(id uint32) bool { return ob.entry(id) == nil })
	})
	for i := range ob.Nodes {
		ob.settle(ctx, &ob.Client, &ob.Nodes[i], from.Is6())
	}
	return ids
}

// entry is the sighting of a client's packet by the node where it came in: the one with the highest TTL, as whoever forwards a packet takes
// one off (RFC 791, 3.2; RFC 8200, 3). It is nil if none has seen it.
func (ob *observer) entry(id uint32) *entry {
	var first *entry
	for _, e := range ob.journal.of(id) {
		if e.station != ob.Client.Name && e.Level == probe.LevelDevice && e.Reason == "" && (first == nil || e.TTL > first.TTL) {
			first = &e
		}
	}
	return first
}

// entries are what nodes saw of a client's packets, as they came in.
func (ob *observer) entries(ids []uint32) []assess.Sighting {
	var all []assess.Sighting
	for _, id := range ids {
		e := ob.entry(id)
		if e == nil {
			continue
		}
		s := assess.Sighting{Node: e.station, Source: e.Source.Addr(), Destination: e.Destination}
		i := slices.IndexFunc(all, func(o assess.Sighting) bool {
			return o.Node == s.Node && o.Source == s.Source && o.Destination == s.Destination
		})
		if i < 0 {
			i, all = len(all), append(all, s)
		}
		all[i].Count++
	}
	slices.SortFunc(all, func(a, b assess.Sighting) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), a.Destination.Compare(b.Destination), a.Source.Compare(b.Source))
	})
	return all
}

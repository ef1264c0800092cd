package prober

import (
	"cmp"
	"context"
	"net/netip"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// probePairs sends from each node to each other.
func (ob *observer) probePairs(ctx context.Context, six bool) error {
	for i := range ob.Nodes {
		for k := range ob.Nodes {
			from, to := &ob.Nodes[i], &ob.Nodes[k]
			if i == k || !from.address(six).IsValid() || !to.address(six).IsValid() {
				continue
			}
			ob.probeDirect(ctx, from, to, six)
			ob.probeTunnel(ctx, from, to, six)
			if err := context.Cause(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// areNeighbours reports whether two machines are in one network.
func areNeighbours(a, b *Machine, six bool) bool {
	for _, p := range a.Addresses {
		if p.Addr().Is6() == six && p.Contains(b.address(six)) {
			return true
		}
	}
	return false
}

// probeDirect sends datagrams whose source, destination or both are not those of the two nodes.
func (ob *observer) probeDirect(ctx context.Context, from, to *Machine, six bool) {
	var results []assess.DirectProbe
	var probes []probe.Probe
	for _, source := range []struct {
		kind    assess.SourceKind
		address netip.Addr
	}{{assess.SourceOwn, from.address(six)}, {assess.SourceClient, ob.Client.address(six)}} {
		for _, foreign := range []bool{false, true} {
			destination := to.address(six)
			if foreign {
				destination = cmp.Or(ob.vip(six), unrelated(six))
			}
			if !source.address.IsValid() || !destination.IsValid() || foreign && !areNeighbours(from, to, six) {
				continue
			}
			p := probe.Probe{Kind: probe.KindUDP, Source: netip.AddrPortFrom(source.address, ob.portOf(from)),
				Destination: netip.AddrPortFrom(destination, probe.FirstPort)}
			if foreign {
				p.NextHop, p.TTL = to.address(six), 1 // the receiver must not forward it
			}
			probes = append(probes, p)
			results = append(results, assess.DirectProbe{From: from.Name, To: to.Name, Source: source.address, SourceKind: source.kind,
				Destination: destination, Foreign: foreign})
		}
	}
	ids := ob.rounds(ctx, from, to, probes)
	for i, r := range results {
		r.Sent, r.Left = len(ids[i]), ob.journal.left(ids[i], from.Name)
		r.Arrived = ob.journal.count(ids[i], to.Name, probe.LevelDevice)
		if !r.Foreign {
			delivered := ob.journal.count(ids[i], to.Name, probe.LevelSocket)
			r.Delivered = &delivered
		}
		if r.Sent > 0 {
			ob.out.Direct = append(ob.out.Direct, r)
		}
	}
}

// tunnel is a size of a tunnel's packet, with what became of it.
func (ob *observer) tunnel(ctx context.Context, from, to *Machine, six bool, t assess.TunnelProbe) (arrived bool) {
	p := probe.Probe{
		Kind: probe.KindGeneve, Source: netip.AddrPortFrom(from.address(six), probe.FirstPort),
		Destination: netip.AddrPortFrom(to.address(six), t.Port), Size: t.Size,
	}
	if t.Option {
		p.Frontend = netip.AddrPortFrom(unrelated(six), probe.FirstPort)
	}
	packet, err := probe.Build(p)
	if err != nil {
		ob.unread(from.Name, "tunnel to "+to.Name, err)
		return false
	}
	ids := ob.rounds(ctx, from, to, []probe.Probe{p})[0]
	if len(ids) == 0 {
		return false
	}
	t = assess.TunnelProbe{
		From: from.Name, To: to.Name, Source: p.Source.Addr(), Destination: p.Destination.Addr(), Port: t.Port, Size: len(packet), Option: t.Option,
		Sent: len(ids), Left: ob.journal.left(ids, from.Name), Arrived: ob.journal.count(ids, to.Name, probe.LevelDevice),
		BadChecksum: ob.journal.corrupt(ids, to.Name), Errors: ob.journal.errors(ids),
	}
	ob.out.Tunnel = append(ob.out.Tunnel, t)
	return t.Arrived > 0
}

// probeTunnel sends what a tunnel between the nodes would, to the tunnel's port and to another one, and finds the largest packet that
// arrives.
func (ob *observer) probeTunnel(ctx context.Context, from, to *Machine, six bool) {
	try := func(port uint16, size int, option bool) bool {
		return ob.tunnel(ctx, from, to, six, assess.TunnelProbe{Port: port, Size: size, Option: option})
	}
	before := len(ob.out.Tunnel)
	geneve := try(probe.GenevePort, 0, true)
	smallest := ob.out.Tunnel[before:] // nothing if it could not be sent
	control := try(probe.ControlPort, 0, true)
	for _, t := range smallest {
		if !geneve {
			geneve = try(probe.GenevePort, t.Size, false) // so that it may be the option
		}
	}
	port := uint16(probe.GenevePort)
	option := true
	switch {
	case !geneve:
		port = probe.ControlPort
	case len(smallest) > 0 && smallest[0].Arrived == 0:
		option = false
	}
	mtu := ob.mtu(from.Name)
	if !geneve && !control || mtu == 0 || try(port, mtu, option) {
		return
	}
	const vlan = 4
	if !try(port, mtu-vlan, option) {
		try(port, mtu-2*vlan, option)
	}
	arrives, lost := ob.bounds(from.Name, to.Name, port, six)
	for lost-arrives > 1 && ctx.Err() == nil {
		middle := (arrives + lost) / 2
		if try(port, middle, option) {
			arrives = middle
		} else {
			lost = middle
		}
	}
}

// mtu is that of a node's outside device; 0 if it is not known.
func (ob *observer) mtu(node string) int {
	if facts := ob.before[node]; facts != nil {
		if d := device(facts); d != nil {
			return d.MTU
		}
	}
	return 0
}

// bounds are the largest size of a tunnel's packet that has arrived, and the smallest that was lost.
func (ob *observer) bounds(from, to string, port uint16, six bool) (arrives, lost int) {
	var sizes []int
	for _, t := range ob.out.Tunnel {
		if t.From != from || t.To != to || t.Port != port || t.Source.Is6() != six {
			continue
		}
		if t.Arrived > 0 {
			arrives = max(arrives, t.Size)
		} else {
			sizes = append(sizes, t.Size)
		}
	}
	for _, size := range sizes {
		if size > arrives && (lost == 0 || size < lost) {
			lost = size
		}
	}
	return arrives, lost
}

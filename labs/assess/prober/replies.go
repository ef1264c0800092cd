package prober

import (
	"context"
	"net/netip"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// probeReplies sends from each node to the client what DSR replies look like.
func (ob *observer) probeReplies(ctx context.Context, six bool) error {
	for i := range ob.Nodes {
		node := &ob.Nodes[i]
		if !node.address(six).IsValid() || !ob.Client.address(six).IsValid() {
			continue
		}
		probes := ob.repliesOf(node, six)
		ob.sendReplies(ctx, node, probes)
		ob.sendReplies(ctx, node, ob.limited(node, six, probes))
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	// Errors go to the source of a packet, which may be another machine than those that were waited for.
	for i, ids := range ob.spoofIDs {
		ob.out.Spoof[i].Errors = ob.journal.errors(ids)
	}
	return nil
}

// repliesOf are the probes of a node, without what comes of them.
func (ob *observer) repliesOf(node *Machine, six bool) []assess.SpoofProbe {
	sources := map[assess.SourceKind]netip.Addr{
		assess.SourceOwn: node.address(six), assess.SourceVIP: ob.vip(six), assess.SourceOtherNode: ob.other(node, six), assess.SourceUnrelated: unrelated(six),
	}
	var all []assess.SpoofProbe
	for _, kind := range []assess.SourceKind{assess.SourceOwn, assess.SourceVIP, assess.SourceOtherNode, assess.SourceUnrelated} {
		for _, protocol := range []assess.Protocol{assess.UDP, assess.SYNACK} {
			if sources[kind].IsValid() {
				all = append(all, assess.SpoofProbe{Node: node.Name, Source: sources[kind], Kind: kind, Protocol: protocol,
					Destination: ob.Client.address(six)})
			}
		}
	}
	return all
}

// Source ports of the nodes' probes.
const firstNode, nodePorts = probe.FirstPort + 32, 96

// portOf is a node's source port. The same addresses and ports from two nodes would be one connection to whatever remembers connections.
func (ob *observer) portOf(node *Machine) uint16 {
	for i := range ob.Nodes {
		if &ob.Nodes[i] == node {
			return firstNode + uint16(i%nodePorts)
		}
	}
	return firstNode
}

// other is the address of the node that follows another one in the list.
func (ob *observer) other(node *Machine, six bool) netip.Addr {
	for i := range ob.Nodes {
		if ob.Nodes[i].Name == node.Name && len(ob.Nodes) > 1 {
			return ob.Nodes[(i+1)%len(ob.Nodes)].address(six)
		}
	}
	return netip.Addr{}
}

// maxHops bounds how many routers are looked for.
const maxHops = 8

// limited are the probes again that each router on the way is made to return.
func (ob *observer) limited(node *Machine, six bool, probes []assess.SpoofProbe) []assess.SpoofProbe {
	routers := 0
	for _, s := range ob.out.Spoof {
		if s.Node == node.Name && s.Kind == assess.SourceOwn && s.Protocol == assess.UDP && s.Source.Is6() == six && s.SeenTTL > 0 {
			routers = probe.DefaultTTL - s.SeenTTL
		}
	}
	var all []assess.SpoofProbe
	for ttl := 1; ttl <= min(routers, maxHops); ttl++ {
		for _, p := range probes {
			p.TTL = ttl
			all = append(all, p)
		}
	}
	return all
}

// sendReplies sends the probes and adds what came of them to the observations.
func (ob *observer) sendReplies(ctx context.Context, node *Machine, results []assess.SpoofProbe) {
	probes := make([]probe.Probe, len(results))
	for i, r := range results {
		probes[i] = probe.Probe{
			Kind: probe.KindUDP, Source: netip.AddrPortFrom(r.Source, ob.portOf(node)),
			Destination: netip.AddrPortFrom(r.Destination, probe.FirstPort), TTL: uint8(r.TTL),
		}
		if r.Protocol == assess.SYNACK {
			probes[i].Kind, probes[i].Flags, probes[i].Acknowledge = probe.KindTCP, probe.SYN|probe.ACK, 1
		}
	}
	ids := ob.rounds(ctx, node, &ob.Client, probes)
	for i, r := range results {
		if len(ids[i]) == 0 {
			continue
		}
		ob.fill(&r, ids[i], node.Name)
		ob.out.Spoof, ob.spoofIDs = append(ob.out.Spoof, r), append(ob.spoofIDs, ids[i])
	}
}

// fill adds what was seen of the probe's copies.
func (ob *observer) fill(r *assess.SpoofProbe, ids []uint32, from string) {
	r.Sent, r.Left = len(ids), ob.journal.left(ids, from)
	r.Arrived = ob.journal.count(ids, ob.Client.Name, probe.LevelDevice)
	r.Errors = ob.journal.errors(ids)
	for _, id := range ids {
		if e := ob.journal.at(id, ob.Client.Name, probe.LevelDevice); e != nil {
			r.SeenSource, r.SeenTTL = e.Source.Addr(), int(e.TTL)
		}
	}
}

package prober

import (
	"context"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// Ports of the client that its kernel answers nothing at, and of the VIP that it calls from each.
const (
	firstGuarded = probe.FirstPort + 128
	guarded      = 120
	vipPorts     = 2
)

// perAnswer is how many connections each node should answer of those that come in by one node, and leastPerAnswer how many it must, so that
// their loss means something.
const perAnswer, leastPerAnswer = 8, 3

// connection is a TCP connection whose two ends are this package.
type connection struct {
	client, frontend netip.AddrPort
	entry, answer    *Machine // both are nil while no node has seen the SYN
	syn, synAck      uint32   // IDs, which are the sequence numbers
	ids              map[stage]uint32
	ttl              uint8 // with which the client's packets reach the entry node, and go no further
	unsent           bool  // a part of it could not be sent
}

// stage is a packet of a connection.
type stage int

const (
	stageACK stage = iota
	stageBefore
	stageAfter
	stageAnswer
)

// dataSize is the length of the data of one packet, in bytes.
const dataSize = 20

// probeWayBack opens connections to the VIP, and to others that lead to other nodes. Of those that come in by a node, each node answers
// some; so some are answered by the entry node itself.
func (ob *observer) probeWayBack(ctx context.Context, six bool) error {
	client := ob.Client.address(six)
	if !ob.vip(six).IsValid() || !client.IsValid() {
		return nil
	}
	vips, entries := ob.called(six)
	ttls := make([]uint8, len(vips))
	for i, vip := range vips {
		ttls[i] = ob.distance(ctx, client, netip.AddrPortFrom(vip, probe.FirstPort))
	}
	var all []*connection
	for i := range min(entries*len(ob.Nodes)*perAnswer, len(vips)*guarded*vipPorts) {
		k, n := i%len(vips), uint16(i/len(vips))
		all = append(all, &connection{
			client: netip.AddrPortFrom(client, firstGuarded+n%guarded), frontend: netip.AddrPortFrom(vips[k], probe.FirstPort+n/guarded),
			syn: ob.journal.newID(), synAck: ob.journal.newID(), ttl: ttls[k], ids: make(map[stage]uint32),
		})
	}
	ob.open3(ctx, all)
	ob.exchange(ctx, all)
	ob.sumWayBack(all)
	return nil
}

// called are the VIPs to open connections to, which lead to as many nodes as calls to all VIPs came in by, and how many these are: at least 1.
func (ob *observer) called(six bool) (vips []netip.Addr, entries int) {
	nodes := make(map[string]bool)
	for _, vip := range ob.VIPs {
		if vip.Is6() != six {
			continue
		}
		before := len(nodes)
		for _, p := range ob.out.WayIn {
			for _, s := range p.Seen {
				if p.Frontend.Kind == assess.VIP && p.Frontend.Address.Addr() == vip {
					nodes[s.Node] = true
				}
			}
		}
		if len(vips) == 0 || len(nodes) > before {
			vips = append(vips, vip)
		}
	}
	return vips, max(1, len(nodes))
}

// assign notes by which node each connection came in, and chooses the one that answers it: all nodes in turn, beginning with the entry
// node. Where that would be too few connections for each, only as many nodes answer as have enough.
func (ob *observer) assign(all []*connection) {
	came := make(map[*Machine][]*connection)
	for _, c := range all {
		if e := ob.entry(c.syn); e != nil {
			c.entry = ob.node(e.station)
			came[c.entry] = append(came[c.entry], c)
		}
	}
	for i := range ob.Nodes {
		some := came[&ob.Nodes[i]]
		answers := min(len(ob.Nodes), max(1, len(some)/leastPerAnswer))
		for k, c := range some {
			c.answer = &ob.Nodes[(i+k%answers)%len(ob.Nodes)]
		}
	}
}

// distance is the TTL with which a client's packet reaches the nodes and is not forwarded by them, as no node has the frontend's port.
func (ob *observer) distance(ctx context.Context, client netip.Addr, frontend netip.AddrPort) uint8 {
	highest := uint8(0)
	for _, id := range ob.call(ctx, client, frontend, 1, 0) {
		if e := ob.entry(id); e != nil {
			highest = max(highest, e.TTL)
		}
	}
	if highest == 0 || highest > probe.DefaultTTL {
		return 0
	}
	return probe.DefaultTTL - highest + 1
}

// segment is a TCP segment of a connection.
func (c *connection) segment(id uint32, flags uint8, toClient bool, sequence, acknowledge uint32, data bool) probe.Probe {
	p := probe.Probe{ID: id, Kind: probe.KindTCP, Source: c.client, Destination: c.frontend, Flags: flags, Sequence: sequence,
		Acknowledge: acknowledge, Data: data}
	if toClient {
		p.Source, p.Destination = c.frontend, c.client
	}
	return p
}

// send sends a segment of the connection.
func (ob *observer) send(ctx context.Context, from *Machine, c *connection, p probe.Probe) {
	if err := ob.stations[from.Name].Send(ctx, p); err != nil {
		c.unsent = true
		ob.unread(from.Name, "part of a connection", err)
	}
}

// open3 shakes hands: SYNs, SYN-ACKs of those that arrived, and ACKs of those.
func (ob *observer) open3(ctx context.Context, all []*connection) {
	for _, c := range all {
		p := c.segment(c.syn, probe.SYN, false, 0, 0, false)
		p.TTL = c.ttl
		ob.send(ctx, &ob.Client, c, p)
	}
	ob.awaitAll(ctx, all, func(c *connection) bool { return ob.entry(c.syn) != nil })
	ob.assign(all)
	for _, c := range all {
		if c.entry != nil {
			ob.send(ctx, c.answer, c, c.segment(c.synAck, probe.SYN|probe.ACK, true, 0, c.syn+1, false))
		}
	}
	ob.awaitAll(ctx, all, func(c *connection) bool { return c.entry == nil || ob.answered(c) })
	for _, c := range all {
		if ob.answered(c) {
			c.ids[stageACK] = c.syn + 1
			p := c.segment(c.syn+1, probe.ACK, false, 0, c.synAck+1, false)
			p.TTL = c.ttl
			ob.send(ctx, &ob.Client, c, p)
			ob.sendData(ctx, c, stageBefore)
		}
	}
	ob.awaitAll(ctx, all, func(c *connection) bool {
		return !ob.answered(c) || ob.arrived(c, stageACK) && ob.arrived(c, stageBefore)
	})
	for _, c := range all {
		if ob.arrived(c, stageBefore) {
			ob.send(ctx, c.answer, c, c.segment(c.synAck+1, probe.ACK, true, 0, c.syn+1+dataSize, false))
		}
	}
}

// sendData sends data of the client.
func (ob *observer) sendData(ctx context.Context, c *connection, s stage) {
	c.ids[s] = ob.journal.newID()
	sequence := c.syn + 1
	if s == stageAfter {
		sequence += dataSize
	}
	p := c.segment(c.ids[s], probe.ACK, false, sequence, c.synAck+1, true)
	p.TTL = c.ttl
	ob.send(ctx, &ob.Client, c, p)
}

// exchange lets the connections rest, and then carry data both ways.
func (ob *observer) exchange(ctx context.Context, all []*connection) {
	stands := func(c *connection) bool { return ob.arrived(c, stageBefore) }
	if ob.Idle < 0 || !slices.ContainsFunc(all, stands) {
		return
	}
	before := ob.facts(ctx)
	select {
	case <-time.After(ob.Idle):
	case <-ctx.Done():
		return
	}
	ob.count(ctx, before)
	for _, c := range all {
		if stands(c) {
			ob.sendData(ctx, c, stageAfter)
		}
	}
	ob.awaitAll(ctx, all, func(c *connection) bool { return !stands(c) || ob.arrived(c, stageAfter) })
	for _, c := range all {
		if ob.arrived(c, stageAfter) {
			c.ids[stageAnswer] = ob.journal.newID()
			ob.send(ctx, c.answer, c, c.segment(c.ids[stageAnswer], probe.ACK, true, c.synAck+1, c.syn+1+2*dataSize, true))
		}
	}
	ob.awaitAll(ctx, all, func(c *connection) bool { return !ob.arrived(c, stageAfter) || ob.arrived(c, stageAnswer) })
}

// awaitAll waits until something is true for all connections, or the patience ends.
func (ob *observer) awaitAll(ctx context.Context, all []*connection, is func(*connection) bool) {
	ob.await(ctx, ob.Patience, ob.machines(), func() bool {
		return !slices.ContainsFunc(all, func(c *connection) bool { return !is(c) })
	})
}

// answered reports whether the SYN-ACK has arrived at the client.
func (ob *observer) answered(c *connection) bool {
	return c.entry != nil && ob.journal.at(c.synAck, ob.Client.Name, probe.LevelDevice) != nil
}

// arrived reports whether a packet has arrived: the answer at the client, all others at the entry node.
func (ob *observer) arrived(c *connection, s stage) bool {
	id, sent := c.ids[s]
	if !sent {
		return false
	}
	if s == stageAnswer {
		return ob.journal.at(id, ob.Client.Name, probe.LevelDevice) != nil
	}
	return ob.journal.at(id, c.entry.Name, probe.LevelDevice) != nil
}

func (ob *observer) node(name string) *Machine {
	for i := range ob.Nodes {
		if ob.Nodes[i].Name == name {
			return &ob.Nodes[i]
		}
	}
	return nil
}

// late reports whether a packet was seen only after the next one of its connection would have been sent: then nothing can be said about
// what did not follow.
func (ob *observer) late(c *connection) bool {
	sent := func(s stage) bool {
		_, ok := c.ids[s]
		return ok
	}
	return ob.answered(c) && !sent(stageACK) || ob.Idle >= 0 && ob.arrived(c, stageBefore) && !sent(stageAfter) ||
		ob.arrived(c, stageAfter) && !sent(stageAnswer)
}

// sumWayBack adds the connections to the observations, those of the same two nodes together. SYN-ACKs of another node than the one where
// the SYN came in are solicited replies, too.
func (ob *observer) sumWayBack(all []*connection) {
	type way struct {
		vip           netip.Addr
		entry, answer string
	}
	groups, solicited := make(map[way]*assess.WayBackProbe), make(map[way][]uint32)
	var order, replies []way
	for _, c := range all {
		if c.unsent || ob.late(c) {
			continue
		}
		n := way{vip: c.frontend.Addr()}
		if c.entry != nil {
			n.entry, n.answer = c.entry.Name, c.answer.Name
		}
		if c.entry != c.answer {
			reply := way{vip: n.vip, answer: n.answer}
			if solicited[reply] == nil {
				replies = append(replies, reply)
			}
			solicited[reply] = append(solicited[reply], c.synAck)
		}
		w := groups[n]
		if w == nil {
			w = &assess.WayBackProbe{Frontend: assess.Frontend{Kind: assess.VIP, Address: netip.AddrPortFrom(n.vip, probe.FirstPort)},
				Entry: n.entry, Answer: n.answer}
			if ob.Idle > 0 {
				w.Idle = metav1.Duration{Duration: ob.Idle}
			}
			groups[n] = w
			order = append(order, n)
		}
		w.Opened++
		for _, one := range []struct {
			count *int
			yes   bool
		}{
			{&w.SYNs, c.entry != nil}, {&w.SYNACKs, ob.answered(c)}, {&w.ACKs, ob.arrived(c, stageACK)}, {&w.DataBefore, ob.arrived(c, stageBefore)},
			{&w.DataAfter, ob.arrived(c, stageAfter)}, {&w.AnswersAfter, ob.arrived(c, stageAnswer)},
		} {
			if one.yes {
				*one.count++
			}
		}
	}
	for _, n := range order {
		ob.out.WayBack = append(ob.out.WayBack, *groups[n])
	}
	for _, n := range replies {
		r := assess.SpoofProbe{Node: n.answer, Source: n.vip, Kind: assess.SourceVIP, Protocol: assess.SYNACK, Solicited: true,
			Destination: ob.Client.address(n.vip.Is6())}
		ob.fill(&r, solicited[n], n.answer)
		ob.out.Spoof = append(ob.out.Spoof, r)
	}
}

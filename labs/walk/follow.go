package walk

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gopacket/gopacket/layers"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/results/report"
	"github.com/dsrlab/dsrlab/topologies"
)

// Captured holds what a node's capture shows of the beginnings of TCP connections.
type Captured struct {
	Node *topologies.Node

	syns   []*capture.Frame            // that the node sent, first ones only
	frames map[uint32][]*capture.Frame // in the order of capture, by the first sequence number of the connection's client
}

// Add takes a frame of the capture, in its order. Frames that are not of a handshake, or were neither sent nor received by the node, are
// ignored.
func (c *Captured) Add(f *capture.Frame) {
	if f.TCP == nil || !c.sent(f) && !c.received(f) {
		return
	}
	if c.frames == nil {
		c.frames = make(map[uint32][]*capture.Frame)
	}
	if p := packetOf(f.TCP); p != 0 {
		number := p.clientNumber(f.TCP)
		if p == request && c.sent(f) && !slices.ContainsFunc(c.frames[number], c.sent) {
			c.syns = append(c.syns, f)
		}
		c.frames[number] = append(c.frames[number], f)
	}
}

func (c *Captured) sent(f *capture.Frame) bool {
	return f.SourceMAC.String() == net.HardwareAddr(c.Node.MAC).String()
}

func (c *Captured) received(f *capture.Frame) bool {
	return f.DestinationMAC.String() == net.HardwareAddr(c.Node.MAC).String()
}

// packet is a packet of a handshake; its zero value is any other.
type packet int

const (
	request packet = iota + 1 // SYN
	reply                     // SYN, ACK
	reset                     // RST: the client's, to a reply that it did not expect
)

func (p packet) String() string { return []string{"other packet", "SYN", "SYN-ACK", "RST"}[p] }

func packetOf(t *layers.TCP) packet {
	switch {
	case t.SYN && !t.ACK:
		return request
	case t.SYN:
		return reply
	case t.RST && !t.ACK: // with ACK it ends a connection that there was
		return reset
	}
	return 0
}

// clientNumber is the sequence number with which the client began the connection: no node on the way changes it.
func (p packet) clientNumber(t *layers.TCP) uint32 {
	switch p {
	case reply:
		return t.Ack - 1
	case reset:
		return t.Seq - 1
	default:
		return t.Seq
	}
}

// Follow follows the first connection that the captures show whole: its SYN from the client to the node of the pod, the reply to it back to
// the client, and the client's RST if it sent one to that. Nodes are numbered by their place in captured. Frames are matched by TCP's sequence
// numbers and, between two nodes, by all of their addresses, never by time: the clocks of captures differ. The error says what is missing.
func Follow(captured []Captured) ([]report.WalkHop, error) {
	var errs []error
	for i := range captured {
		if captured[i].Node.Role != topologies.RoleClient {
			continue
		}
		for _, syn := range captured[i].syns {
			f := follower{captured, i, syn.TCP.Seq}
			hops, err := f.connection()
			if err == nil {
				return hops, nil
			}
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errs[0] // others say the same of other connections
	}
	return nil, errors.New("no capture holds a SYN that a client sent")
}

// follower follows the connection that a client began with a sequence number.
type follower struct {
	captured []Captured
	client   int
	number   uint32
}

// connection follows all packets of the handshake.
func (f follower) connection() ([]report.WalkHop, error) {
	if f.ambiguous() {
		return nil, fmt.Errorf("two connections of %s begin with the sequence number %d", f.name(f.client), f.number)
	}
	hops, err := f.way(request, f.client)
	if err != nil {
		return nil, err
	}
	pod := hops[len(hops)-1].To
	back, err := f.way(reply, pod)
	if err != nil {
		return nil, err
	}
	if at := back[len(back)-1].To; at != f.client {
		return nil, fmt.Errorf("the SYN-ACK ends at %s, and no capture holds how it reached the client", f.name(at))
	}
	hops = append(hops, back...)
	if f.sentAfter(reset, f.client, nil) == nil {
		return hops, nil
	}
	rejected, err := f.way(reset, f.client)
	if err != nil {
		return nil, err
	}
	return append(hops, rejected...), nil
}

// ambiguous reports whether the client began two connections with the number: one that it sent again has the same addresses.
func (f follower) ambiguous() bool {
	var first *capture.Frame
	for _, frame := range f.captured[f.client].frames[f.number] {
		if packetOf(frame.TCP) != request || !f.captured[f.client].sent(frame) {
			continue
		}
		if first != nil && formOf(frame) != formOf(first) {
			return true
		}
		first = frame
	}
	return false
}

// way follows one packet from a node that sends it first.
func (f follower) way(p packet, from int) ([]report.WalkHop, error) {
	out := f.sentAfter(p, from, nil)
	if out == nil {
		return nil, fmt.Errorf("the capture of %s holds no %s that it sent", f.name(from), p)
	}
	passed := []int{from}
	var hops []report.WalkHop
	for out != nil {
		to, in := f.receiver(out, from)
		if in == nil {
			return nil, fmt.Errorf("no capture holds where the %s arrived that %s sent to %v", p, f.name(from), out.Destination.Address)
		}
		if slices.Contains(passed, to) {
			return nil, fmt.Errorf("the %s came back to %s", p, f.name(to))
		}
		passed = append(passed, to)
		hops = append(hops, hopOf(p, out, in, from, to))
		from, out = to, f.sentAfter(p, to, in)
	}
	for i := range hops {
		hops[i].Without = f.without(p)
	}
	return hops, nil
}

// sentAfter returns the packet as a node sent it, after it received it as in (nil: at all). Where the capture has it the other way round, as
// two CPUs may write it, it is the first that the node sent.
func (f follower) sentAfter(p packet, node int, in *capture.Frame) *capture.Frame {
	var first *capture.Frame
	seen := in == nil
	for _, frame := range f.captured[node].frames[f.number] {
		seen = seen || frame == in
		if packetOf(frame.TCP) != p || !f.captured[node].sent(frame) {
			continue
		}
		if seen {
			return frame
		}
		if first == nil {
			first = frame
		}
	}
	return first
}

// receiver returns the node that received what another one sent, and the frame as it came; nil if no capture holds it.
func (f follower) receiver(out *capture.Frame, from int) (int, *capture.Frame) {
	for i := range f.captured {
		if i == from {
			continue
		}
		for _, frame := range f.captured[i].frames[f.number] {
			if f.captured[i].received(frame) && formOf(frame) == formOf(out) {
				return i, frame
			}
		}
	}
	return 0, nil
}

// without returns the nodes whose captures do not hold a packet, in any form.
func (f follower) without(p packet) []int {
	var nodes []int
	for i := range f.captured {
		if !slices.ContainsFunc(f.captured[i].frames[f.number], func(frame *capture.Frame) bool { return packetOf(frame.TCP) == p }) {
			nodes = append(nodes, i)
		}
	}
	return nodes
}

func (f follower) name(node int) string { return f.captured[node].Node.Name }

// form is what the fabric leaves as it is between two nodes.
type form struct {
	packet              packet
	source, destination netip.AddrPort
	outer               string
}

func formOf(f *capture.Frame) form {
	c := form{packet: packetOf(f.TCP), source: f.Source.Address, destination: f.Destination.Address}
	if f.Outer != nil {
		c.outer = f.Outer.String()
	}
	return c
}

// hopOf puts together what a hop shows: the packet as one node sent it, and with which TTL it came to the other.
func hopOf(p packet, out, in *capture.Frame, from, to int) report.WalkHop {
	hop := report.WalkHop{
		From: from, To: to, Reply: p == reply, Packet: p.String(), Source: out.Source.Address, Destination: out.Destination.Address,
		TTL: out.TTL, ArrivedTTL: in.TTL,
	}
	if t := out.Outer; t != nil {
		hop.Tunnel = &report.WalkTunnel{
			Source: t.Source, Destination: t.Destination, VNI: t.VNI, TTL: t.TTL, ArrivedTTL: in.Outer.TTL, Option: optionKind(t), Frontend: t.Frontend,
		}
	}
	return hop
}

// optionKind names the kind of the DSR option as on the wire; empty without one.
func optionKind(t *capture.Tunnel) string {
	if len(t.Option) < 3 {
		return ""
	}
	return strings.ToLower(fmt.Sprintf("class 0x%02x%02x, type 0x%02x", t.Option[0], t.Option[1], t.Option[2]))
}

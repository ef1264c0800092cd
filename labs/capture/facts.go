package capture

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/topologies"
)

// Facts is what the captures of one variant show.
type Facts struct {
	// Clients and LBNodes are whose packets are looked for inside and outside of tunnels.
	Clients, LBNodes []netip.Addr

	// At the client.
	Replies             int // frames that answer it
	RepliesFromFrontend int // those whose source is what it called
	ClientResets        int // RSTs that it sent
	FirstReply          *Frame
	FirstReset          *Frame
	// At LB nodes.
	LBReplies int // frames whose source is a frontend or pod
	// At pod nodes.
	Tunnelled       int // first packets of flows that came by Geneve
	TunnelledOption int // those that carry the DSR option
	TunnelledNodes  int // those that go from an LB node to the node where they were captured
	TunnelledCalled int // those whose option is a frontend
	TunnelledClient int // those whose inner source is a client
	// Answers that leave the pod node, outside of a tunnel.
	Leaving             int
	LeavingFromFrontend int
	FirstTunnelled      *Frame
}

// Note takes in a frame that was captured on a node.
func (f *Facts) Note(n topologies.Node, a Answers, p *Frame) {
	switch n.Role {
	case topologies.RoleClient:
		f.noteClient(n.Address.Addr(), a, p)
	case topologies.RoleLB:
		if p.Outer == nil && a.IsAnswer(p.Source) {
			f.LBReplies++
		}
	case topologies.RoleWorker:
		f.noteWorker(n.Address.Addr(), a, p)
	}
}

func (f *Facts) noteClient(client netip.Addr, a Answers, p *Frame) {
	if p.Source.Address.Addr() == client && p.TCP != nil && p.TCP.RST {
		f.ClientResets++
		first(&f.FirstReset, p)
	}
	if p.Destination.Address.Addr() == client && a.IsAnswer(p.Source) {
		f.Replies++
		first(&f.FirstReply, p)
		if a.Frontends[p.Source] {
			f.RepliesFromFrontend++
		}
	}
}

func (f *Facts) noteWorker(node netip.Addr, a Answers, p *Frame) {
	if p.Outer == nil {
		if slices.Contains(f.Clients, p.Destination.Address.Addr()) && a.IsAnswer(p.Source) {
			f.Leaving++
			f.LeavingFromFrontend += count(a.Frontends[p.Source])
		}
		return
	}
	if p.Outer.Destination != node || !p.IsFirst() {
		return
	}
	f.Tunnelled++
	first(&f.FirstTunnelled, p)
	f.TunnelledOption += count(p.Outer.Option != nil)
	f.TunnelledNodes += count(slices.Contains(f.LBNodes, p.Outer.Source))
	f.TunnelledCalled += count(a.Frontends[Endpoint{p.Outer.Frontend, p.Source.Protocol}])
	f.TunnelledClient += count(slices.Contains(f.Clients, p.Source.Address.Addr()))
}

// count is 1 for what is so.
func count(so bool) int {
	if so {
		return 1
	}
	return 0
}

func first(keep **Frame, p *Frame) {
	if *keep == nil {
		*keep = p
	}
}

// String is the Geneve packet field by field.
func (t *Tunnel) String() string {
	s := fmt.Sprintf("%v → %v  UDP %d → 6081  Geneve VNI %d", t.Source, t.Destination, t.SourcePort, t.VNI)
	if t.Option == nil {
		return s + ", no option"
	}
	return s + fmt.Sprintf(", option class 0x%02x%02x type 0x%02x [% x]: frontend %v",
		t.Option[0], t.Option[1], t.Option[2], t.Option[4:], t.Frontend)
}

// String is the frame in one line, with what is around it.
func (f *Frame) String() string {
	s := fmt.Sprintf("%v → %v %v", f.Source.Address, f.Destination.Address, f.Source.Protocol)
	if f.TCP != nil {
		s += " [" + flagNames(f.TCP) + "]"
	}
	if f.Outer == nil {
		return s
	}
	return f.Outer.String() + "  ┃ inside: " + s
}

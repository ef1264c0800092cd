package capture

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/topologies"
)

// Facts holds what the captures of one variant show.
type Facts struct {
	// Clients and LBNodes are the addresses whose packets are counted inside and outside of tunnels.
	Clients, LBNodes []netip.Addr

	// At the client.
	Replies             int // replies to it
	RepliesFromFrontend int // replies whose source is the address that it called
	ClientResets        int // RSTs sent by it
	FirstReply          *Frame
	FirstReset          *Frame
	// At LB nodes.
	LBReplies int // frames whose source is a frontend or pod
	// At pod nodes.
	Tunnelled       int // first packets of flows that arrived in Geneve
	TunnelledOption int // of these, with the DSR option
	TunnelledNodes  int // of these, from an LB node to the node where they were captured
	TunnelledCalled int // of these, whose option names a frontend
	TunnelledClient int // of these, whose inner source is a client
	// Replies that leave the pod node outside of a tunnel.
	Leaving             int
	LeavingFromFrontend int
	FirstTunnelled      *Frame
}

// Add counts a frame that was captured on a node.
func (f *Facts) Add(n topologies.Node, a ReplySources, p *Frame) {
	switch n.Role {
	case topologies.RoleClient:
		f.noteClient(n.Addresses[0].Addr(), a, p)
	case topologies.RoleLB:
		if p.Outer == nil && a.IsReply(p.Source) {
			f.LBReplies++
		}
	case topologies.RoleWorker:
		f.noteWorker(n.Addresses[0].Addr(), a, p)
	}
}

func (f *Facts) noteClient(client netip.Addr, a ReplySources, p *Frame) {
	if p.Source.Address.Addr() == client && p.TCP != nil && p.TCP.RST {
		f.ClientResets++
		first(&f.FirstReset, p)
	}
	if p.Destination.Address.Addr() == client && a.IsReply(p.Source) {
		f.Replies++
		first(&f.FirstReply, p)
		if a.Frontends[p.Source] {
			f.RepliesFromFrontend++
		}
	}
}

func (f *Facts) noteWorker(node netip.Addr, a ReplySources, p *Frame) {
	if p.Outer == nil {
		if slices.Contains(f.Clients, p.Destination.Address.Addr()) && a.IsReply(p.Source) {
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

// count converts a condition to 1 or 0.
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

// String formats the Geneve headers field by field.
func (t *Tunnel) String() string {
	s := fmt.Sprintf("%v → %v  UDP %d → 6081  Geneve VNI %d", t.Source, t.Destination, t.SourcePort, t.VNI)
	if t.Option == nil {
		return s + ", no option"
	}
	return s + fmt.Sprintf(", option class 0x%02x%02x type 0x%02x [% x]: frontend %v",
		t.Option[0], t.Option[1], t.Option[2], t.Option[4:], t.Frontend)
}

// String formats the frame and its encapsulation in one line.
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

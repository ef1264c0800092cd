package capture

import (
	"fmt"
	"net/netip"

	"github.com/dsrlab/dsrlab/topologies"
)

// facts is what the captures of one variant show.
type Facts struct {
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
	FirstTunnelled  *Frame
}

// note takes in a frame that was captured on a node.
func (f *Facts) Note(n topologies.Node, a Answers, p *Frame) {
	switch n.Role {
	case topologies.RoleClient:
		f.noteClient(n.Address.Addr(), a, p)
	case topologies.RoleLB:
		if p.Outer == nil && a.IsAnswer(p.Source) {
			f.LBReplies++
		}
	case topologies.RoleWorker:
		f.noteWorker(n.Address.Addr(), p)
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

func (f *Facts) noteWorker(node netip.Addr, p *Frame) {
	if p.Outer == nil || p.Outer.Destination != node || !p.IsFirst() {
		return
	}
	f.Tunnelled++
	first(&f.FirstTunnelled, p)
	if p.Outer.Option != nil {
		f.TunnelledOption++
	}
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

package labs

import (
	"fmt"
	"net/netip"

	"github.com/dsrlab/dsrlab/topologies"
)

// facts is what the captures of one variant show.
type facts struct {
	// At the client.
	replies             int // frames that answer it
	repliesFromFrontend int // those whose source is what it called
	clientResets        int // RSTs that it sent
	firstReply          *frame
	firstReset          *frame
	// At LB nodes.
	lbReplies int // frames whose source is a frontend or pod
	// At pod nodes.
	tunnelled       int // first packets of flows that came by Geneve
	tunnelledOption int // those that carry the DSR option
	firstTunnelled  *frame
}

// note takes in a frame that was captured on a node.
func (f *facts) note(n topologies.Node, a answers, p *frame) {
	switch n.Role {
	case topologies.RoleClient:
		f.noteClient(n.Address.Addr(), a, p)
	case topologies.RoleLB:
		if p.outer == nil && a.isAnswer(p.source) {
			f.lbReplies++
		}
	case topologies.RoleWorker:
		f.noteWorker(n.Address.Addr(), p)
	}
}

func (f *facts) noteClient(client netip.Addr, a answers, p *frame) {
	if p.source.address.Addr() == client && p.tcp != nil && p.tcp.RST {
		f.clientResets++
		first(&f.firstReset, p)
	}
	if p.destination.address.Addr() == client && a.isAnswer(p.source) {
		f.replies++
		first(&f.firstReply, p)
		if a.frontends[p.source] {
			f.repliesFromFrontend++
		}
	}
}

func (f *facts) noteWorker(node netip.Addr, p *frame) {
	if p.outer == nil || p.outer.destination != node || !p.isFirst() {
		return
	}
	f.tunnelled++
	first(&f.firstTunnelled, p)
	if p.outer.option != nil {
		f.tunnelledOption++
	}
}

func first(keep **frame, p *frame) {
	if *keep == nil {
		*keep = p
	}
}

// String is the Geneve packet field by field.
func (t *tunnel) String() string {
	s := fmt.Sprintf("%v → %v  UDP %d → 6081  Geneve VNI %d", t.source, t.destination, t.sourcePort, t.vni)
	if t.option == nil {
		return s + ", no option"
	}
	return s + fmt.Sprintf(", option class 0x%02x%02x type 0x%02x [% x]: frontend %v",
		t.option[0], t.option[1], t.option[2], t.option[4:], t.frontend)
}

// String is the frame in one line, with what is around it.
func (f *frame) String() string {
	s := fmt.Sprintf("%v → %v %v", f.source.address, f.destination.address, f.source.protocol)
	if f.tcp != nil {
		s += " [" + flagNames(f.tcp) + "]"
	}
	if f.outer == nil {
		return s
	}
	return f.outer.String() + "  ┃ inside: " + s
}

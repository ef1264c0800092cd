package l2

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// listen opens a socket for one EtherType. Sockets of a type see packets after the data path has, which lets those pass that are
// for nobody's frontend.
func listen(device *net.Interface, etherType int, filter []bpf.Instruction) (*packet.Conn, error) {
	config := &packet.Config{}
	if filter != nil {
		var err error
		if config.Filter, err = bpf.Assemble(filter); err != nil {
			return nil, err
		}
	}
	return packet.Listen(device, packet.Datagram, etherType, config)
}

// onlyNDP lets neighbour solicitations and advertisements through.
func onlyNDP() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 2}, // next header and hop limit
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: icmpv6<<8 | hopLimit, SkipTrue: 3},
		bpf.LoadAbsolute{Off: ipv6Header, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: solicitation, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: advertisement, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 1 << 16},
	}
}

// memberships are of the multicast groups that solicitations are sent to: the device lets them in, and switches that look (MLD,
// RFC 3810) pass them on.
type memberships struct {
	device int
	socket int
	groups map[netip.Addr]bool
}

func openMemberships(device int) (*memberships, error) {
	socket, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open socket for IPv6 groups: %w", err)
	}
	return &memberships{device, socket, map[netip.Addr]bool{}}, nil
}

// set joins and leaves, so that the device is in these groups.
func (m *memberships) set(want map[netip.Addr]bool) error {
	var errs []error
	change := func(group netip.Addr, option int, what string) bool {
		err := unix.SetsockoptIPv6Mreq(m.socket, unix.IPPROTO_IPV6, option, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(m.device)})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s group %s: %w", what, group, err))
		}
		return err == nil
	}
	for group := range m.groups {
		if !want[group] && change(group, unix.IPV6_LEAVE_GROUP, "leave") {
			delete(m.groups, group)
		}
	}
	for group := range want {
		if !m.groups[group] && change(group, unix.IPV6_JOIN_GROUP, "join") {
			m.groups[group] = true
		}
	}
	return errors.Join(errs...)
}

func (m *memberships) close() error { return unix.Close(m.socket) }

package workload

import (
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// packetInfo asks the kernel for the address that a datagram was sent to, and answers from that address. A socket on
// [::] would otherwise let the kernel choose the answer's source, and a client that sent to another of the server's addresses
// would not accept it (ip(7) IP_PKTINFO; RFC 3542 section 6, IPV6_RECVPKTINFO).
type packetInfo struct {
	family int // AF_INET or AF_INET6, of the socket; a dual-stack socket is AF_INET6
}

// enablePacketInfo enables the ancillary data on conn.
func enablePacketInfo(conn *net.UDPConn) (packetInfo, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return packetInfo{}, err
	}
	var info packetInfo
	var optErr error
	err = raw.Control(func(fd uintptr) {
		info.family, optErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		if optErr != nil {
			return
		}
		if info.family == unix.AF_INET {
			optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
			return
		}
		// On a dual-stack socket this covers IPv4 too: the kernel gives the address IPv4-mapped.
		optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
	if err == nil {
		err = optErr
	}
	if err != nil {
		return packetInfo{}, fmt.Errorf("ask for datagrams' destination: %w", err)
	}
	return info, nil
}

// destination returns a datagram's destination address and receiving interface from its ancillary data.
func (packetInfo) destination(oob []byte) (netip.Addr, uint32, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("parse ancillary data: %w", err)
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&m.Data[0]))
			return netip.AddrFrom16(info.Addr).Unmap(), info.Ifindex, nil
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&m.Data[0]))
			return netip.AddrFrom4(info.Addr), uint32(info.Ifindex), nil
		}
	}
	return netip.Addr{}, 0, fmt.Errorf("parse ancillary data: no destination address in %d bytes", len(oob))
}

// source returns the ancillary data that makes addr the source of an answer. The interface is left to routing, except
// for link-local addresses, which mean nothing without it.
func (p packetInfo) source(addr netip.Addr, ifindex uint32) []byte {
	if addr.IsMulticast() {
		return nil
	}
	if !addr.IsLinkLocalUnicast() {
		ifindex = 0
	}
	if p.family == unix.AF_INET {
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: addr.As4(), Ifindex: int32(ifindex)})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: addr.As16(), Ifindex: ifindex})
}

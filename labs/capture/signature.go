package capture

import (
	"encoding/binary"
	"net/netip"

	"github.com/gopacket/gopacket/layers"
)

// Place is where on a node a packet came in.
type Place string

const (
	FromNetwork Place = "network" // by the device towards the fabric
	FromPods    Place = "pods"    // by any other device
)

// Signature is what a decision of the data path says about its packet, and a captured frame shows. Many packets may have the same.
type Signature struct {
	Place               Place
	Protocol            layers.IPProtocol // TCP or UDP
	Source, Destination netip.AddrPort    // as the packet came; of the inner packet, where it came by Geneve
	TCPFlags            uint8
	Bytes               int // from the outer Ethernet header on
}

// pair is a signature without what a frame may not show.
type pair struct {
	place               Place
	protocol            layers.IPProtocol
	source, destination netip.Addr
}

func (s Signature) pair() pair {
	return pair{s.Place, s.Protocol, s.Source.Addr(), s.Destination.Addr()}
}

// signatures are all that a decision about a frame may have. That of a frame in Geneve may be about the outer or the inner packet. What
// a later fragment belongs to, only the data path knows: for it and its like there are pairs, of which the decision is one.
//
// It reads the frame as bpf/parse.h does, by offsets and with the same conditions, where a library would read more, or refuse more: what
// the programs see has to be among what it returns.
func signatures(place Place, frame []byte) (all []Signature, unclear []pair) {
	const header = 14
	if len(frame) < header {
		return nil, nil
	}
	kind := layers.EthernetType(binary.BigEndian.Uint16(frame[12:]))
	add := func(ip []byte) (inner []byte) {
		s, clear, l4 := readIP(ip)
		s.Place, s.Bytes = place, len(frame)
		switch {
		case l4 == nil && !clear:
			return nil
		case !clear:
			unclear = append(unclear, s.pair())
			return nil
		}
		all = append(all, s)
		if s.Protocol != layers.IPProtocolUDP || s.Destination.Port() != genevePort || len(l4) < 16 {
			return nil
		}
		at := 16 + 4*int(l4[8]&0x3f) + header // UDP, Geneve, its options, the inner Ethernet header
		return l4[min(at, len(l4)):]
	}
	if kind != layers.EthernetTypeIPv4 && kind != layers.EthernetTypeIPv6 {
		return nil, nil
	}
	if inner := add(frame[header:]); len(inner) > 0 {
		add(inner)
	}
	return all, unclear
}

const genevePort = 6081

// readIP reads a packet from its IP header on. clear: the signature is whole, and l4 begins with the ports. If it is not clear and l4 is
// not nil, addresses and protocol are known; else there is no TCP and no UDP in it.
func readIP(ip []byte) (s Signature, clear bool, l4 []byte) {
	later := false
	switch {
	case len(ip) >= 20 && ip[0]>>4 == 4:
		s.Protocol = layers.IPProtocol(ip[9])
		s.Source, s.Destination = address(ip[12:16]), address(ip[16:20])
		later = ip[0]&0x0f != 5 || binary.BigEndian.Uint16(ip[6:])&0x1fff != 0
		l4 = ip[20:]
	case len(ip) >= 40 && ip[0]>>4 == 6:
		s.Protocol = layers.IPProtocol(ip[6])
		s.Source, s.Destination = address(ip[8:24]), address(ip[24:40])
		l4 = ip[40:]
		if s.Protocol == layers.IPProtocolIPv6Fragment && len(l4) >= 8 {
			s.Protocol = layers.IPProtocol(l4[0])
			later = binary.BigEndian.Uint16(l4[2:])&0xfff8 != 0
			l4 = l4[8:]
		}
	}
	if s.Protocol != layers.IPProtocolTCP && s.Protocol != layers.IPProtocolUDP {
		return s, false, nil
	}
	if later || len(l4) < 8 || s.Protocol == layers.IPProtocolTCP && len(l4) < 20 {
		return s, false, []byte{}
	}
	s.Source = netip.AddrPortFrom(s.Source.Addr(), binary.BigEndian.Uint16(l4))
	s.Destination = netip.AddrPortFrom(s.Destination.Addr(), binary.BigEndian.Uint16(l4[2:]))
	if s.Protocol == layers.IPProtocolTCP {
		s.TCPFlags = l4[13]
	}
	return s, true, l4
}

// address has no port. IPv4 in IPv6's form is IPv4, as in the data path's tables.
func address(raw []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), 0)
}

package probe

import (
	"encoding/binary"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Read returns the sighting of a packet that begins with its IP header; false if it is no probe, nor an ICMP error about one.
func Read(packet []byte) (Sighting, bool) {
	if len(packet) == 0 {
		return Sighting{}, false
	}
	first := layers.LayerTypeIPv4
	if packet[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	decoded := gopacket.NewPacket(packet, first, gopacket.DecodeOptions{NoCopy: true})
	network := decoded.NetworkLayer()
	if network == nil {
		return Sighting{}, false
	}
	s, rest, ok := readICMP(decoded, network)
	if ok {
		return returned(s, rest)
	}
	s, ok = readTransport(network.LayerPayload(), protocolOf(network))
	if !ok {
		return Sighting{}, false
	}
	s.Level = LevelDevice
	s.readNetwork(network)
	s.Corrupt = s.Corrupt || !intact(network)
	return s, true
}

// intact reports whether the checksums of an IP header and of the UDP or TCP header behind it are right.
func intact(network gopacket.NetworkLayer) bool {
	var pseudo []byte // RFC 768 and 8200: the addresses, the protocol and the length
	protocol, payload := protocolOf(network), network.LayerPayload()
	switch ip := network.(type) {
	case *layers.IPv4:
		if sum(ip.Contents) != 0xffff {
			return false
		}
		pseudo = append(append(pseudo, ip.SrcIP.To4()...), ip.DstIP.To4()...)
	case *layers.IPv6:
		pseudo = append(append(pseudo, ip.SrcIP.To16()...), ip.DstIP.To16()...)
	}
	if protocol == layers.IPProtocolUDP && binary.BigEndian.Uint16(payload[6:]) == 0 {
		return true // it has none
	}
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(payload)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(protocol))
	return sum(append(pseudo, payload...)) == 0xffff
}

// sum is the ones' complement sum of 16-bit words (RFC 1071); over data and its checksum it is 0xffff.
func sum(data []byte) uint16 {
	total := uint32(0)
	for i, b := range data {
		total += uint32(b) << (8 * uint(1-i%2))
		total = total&0xffff + total>>16
	}
	return uint16(total)
}

func protocolOf(network gopacket.NetworkLayer) layers.IPProtocol {
	switch ip := network.(type) {
	case *layers.IPv4:
		return ip.Protocol
	case *layers.IPv6:
		return ip.NextHeader
	}
	return 0
}

// readNetwork reads what the IP header says.
func (s *Sighting) readNetwork(network gopacket.NetworkLayer) {
	var from, to netip.Addr
	switch ip := network.(type) {
	case *layers.IPv4:
		from, to, s.TTL, s.Size = addressOf(ip.SrcIP), addressOf(ip.DstIP), ip.TTL, int(ip.Length)
	case *layers.IPv6:
		const header = 40
		from, to, s.TTL, s.Size = addressOf(ip.SrcIP), addressOf(ip.DstIP), ip.HopLimit, int(ip.Length)+header
	}
	s.Source, s.Destination = netip.AddrPortFrom(from, s.Source.Port()), netip.AddrPortFrom(to, s.Destination.Port())
}

func addressOf(raw []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(raw)
	return a.Unmap()
}

const udpHeaderSize, tcpHeaderSize = 8, 20

// readTransport reads a probe from its UDP or TCP header on; the addresses are those of no host, with the ports.
func readTransport(b []byte, protocol layers.IPProtocol) (s Sighting, ok bool) {
	if len(b) < udpHeaderSize {
		return s, false
	}
	port := func(at int) netip.AddrPort { return netip.AddrPortFrom(netip.Addr{}, binary.BigEndian.Uint16(b[at:])) }
	s.Source, s.Destination = port(0), port(2)
	if !isProbePort(s.Source.Port()) && !isProbePort(s.Destination.Port()) {
		return s, false
	}
	intact := true
	switch {
	case protocol == layers.IPProtocolUDP:
		s.Kind = KindUDP
		if s.ID, intact, ok = readPayload(b[udpHeaderSize:]); !ok {
			s.Kind = KindGeneve
			s.ID, intact, ok = readGeneve(b[udpHeaderSize:])
		}
	case protocol == layers.IPProtocolTCP && len(b) >= tcpHeaderSize:
		s.Kind, s.Flags, ok = KindTCP, b[13], true
		s.ID = binary.BigEndian.Uint32(b[4:])
		if data := b[min(len(b), int(b[12]>>4)*4):]; len(data) > 0 {
			s.ID, intact, ok = readPayload(data)
		}
	}
	s.Corrupt = !intact
	return s, ok
}

// readGeneve reads a tunnel's packet, from the Geneve header on.
func readGeneve(b []byte) (id uint32, intact, ok bool) {
	const base, ethernet, ipv4, ipv6 = 8, 14, 20, 40
	if len(b) < base {
		return 0, false, false
	}
	inside := base + 4*int(b[0]&0x3f) + ethernet
	if len(b) <= inside {
		return 0, false, false
	}
	header := ipv4
	if b[inside]>>4 == 6 {
		header = ipv6
	}
	at := inside + header + udpHeaderSize
	if len(b) < at {
		return 0, false, false
	}
	return readPayload(b[at:])
}

// readICMP reads an ICMP error that is directly behind an IP header of its family, and returns the packet that it is about.
func readICMP(decoded gopacket.Packet, network gopacket.NetworkLayer) (s Sighting, about []byte, ok bool) {
	switch ip := network.(type) {
	case *layers.IPv4:
		if ip.Protocol == layers.IPProtocolICMPv4 {
			s.Router = addressOf(ip.SrcIP)
			return readICMPv4(s, decoded)
		}
	case *layers.IPv6:
		if ip.NextHeader == layers.IPProtocolICMPv6 {
			s.Router = addressOf(ip.SrcIP)
			return readICMPv6(s, decoded)
		}
	}
	return s, nil, false
}

func readICMPv4(s Sighting, decoded gopacket.Packet) (_ Sighting, about []byte, ok bool) {
	l, is := decoded.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if !is {
		return s, nil, false
	}
	switch l.TypeCode.Type() {
	case layers.ICMPv4TypeTimeExceeded:
		s.Reason = ReasonExpired
	case layers.ICMPv4TypeDestinationUnreachable:
		s.Reason = ReasonUnreachable
		switch l.TypeCode.Code() {
		case layers.ICMPv4CodeFragmentationNeeded:
			s.Reason, s.MTU = ReasonTooBig, int(l.Seq) // the field's place in RFC 1191
		case layers.ICMPv4CodeNetAdminProhibited, layers.ICMPv4CodeHostAdminProhibited, layers.ICMPv4CodeCommAdminProhibited:
			s.Reason = ReasonProhibited
		}
	}
	return s, l.LayerPayload(), s.Reason != ""
}

func readICMPv6(s Sighting, decoded gopacket.Packet) (_ Sighting, about []byte, ok bool) {
	l, is := decoded.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	if !is || len(l.LayerPayload()) < 4 {
		return s, nil, false
	}
	switch l.TypeCode.Type() {
	case layers.ICMPv6TypeTimeExceeded:
		s.Reason = ReasonExpired
	case layers.ICMPv6TypeDestinationUnreachable:
		s.Reason = ReasonUnreachable
		if l.TypeCode.Code() == layers.ICMPv6CodeAdminProhibited {
			s.Reason = ReasonProhibited
		}
	case layers.ICMPv6TypePacketTooBig:
		s.Reason, s.MTU = ReasonTooBig, int(binary.BigEndian.Uint32(l.LayerPayload()))
	}
	return s, l.LayerPayload()[4:], s.Reason != ""
}

// returned completes the sighting of a packet that a router has returned, of which it need not quote more than 8 bytes behind the IP header.
// A datagram whose payload is not quoted can't be told.
func returned(s Sighting, packet []byte) (Sighting, bool) {
	if len(packet) == 0 {
		return s, false
	}
	var network gopacket.NetworkLayer
	var err error
	if packet[0]>>4 == 6 {
		ip := &layers.IPv6{}
		err = ip.DecodeFromBytes(packet, gopacket.NilDecodeFeedback)
		network = ip
	} else {
		ip := &layers.IPv4{}
		err = ip.DecodeFromBytes(packet, gopacket.NilDecodeFeedback)
		network = ip
	}
	if err != nil {
		return s, false
	}
	quoted := network.LayerPayload()
	about, ok := readTransport(quoted, protocolOf(network))
	if protocolOf(network) == layers.IPProtocolTCP && len(quoted) >= udpHeaderSize && len(quoted) < tcpHeaderSize {
		about.Kind, about.ID, ok = KindTCP, binary.BigEndian.Uint32(quoted[4:]), true
	}
	if !ok {
		return s, false
	}
	about.readNetwork(network)
	about.Level, about.Corrupt, about.Router, about.Reason, about.MTU = LevelDevice, false, s.Router, s.Reason, s.MTU
	return about, true
}

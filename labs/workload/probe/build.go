package probe

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// The payload of a probe: magic, then the ID, then a pattern up to its size.
const (
	magic       = "dsrlab probe v1\n"
	payloadSize = len(magic) + 4
)

// payload returns what a probe carries, of at least payloadSize bytes.
func payload(id uint32, size int) []byte {
	p := make([]byte, max(size, payloadSize))
	copy(p, magic)
	binary.BigEndian.PutUint32(p[len(magic):], id)
	for i := payloadSize; i < len(p); i++ {
		p[i] = byte(i)
	}
	return p
}

// readPayload returns the ID of a probe's payload, and whether all of it is as it was sent.
func readPayload(p []byte) (id uint32, intact, ok bool) {
	if len(p) < payloadSize || string(p[:len(magic)]) != magic {
		return 0, false, false
	}
	for i := payloadSize; i < len(p); i++ {
		if p[i] != byte(i) {
			return binary.BigEndian.Uint32(p[len(magic):]), false, true
		}
	}
	return binary.BigEndian.Uint32(p[len(magic):]), true, true
}

// The inner packet of a Geneve probe is between addresses of documentation (RFC 5737 and 3849): no node has a pod there.
const (
	innerSource4, innerDestination4 = "192.0.2.1", "198.51.100.1"
	innerSource6, innerDestination6 = "2001:db8::1", "2001:db8::2"
)

// The DSR option: class and type as in dataplane/wire.go.
const (
	optionClass = 0x014b
	optionType  = 0x81
	vni         = 2
)

// Build returns the packet of a probe from its IP header on, with all checksums, and DF set.
func Build(p Probe) ([]byte, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("build probe: %w", err)
	}
	small, err := build(p, 0)
	if err != nil || p.Size <= len(small) || p.Kind == KindTCP && !p.Data {
		return small, err
	}
	return build(p, payloadSize+p.Size-len(small))
}

// build returns the packet with a payload of a size.
func build(p Probe, size int) ([]byte, error) {
	protocol := layers.IPProtocolUDP
	if p.Kind == KindTCP {
		protocol = layers.IPProtocolTCP
	}
	ip := ipHeader(p.Source.Addr(), p.Destination.Addr(), protocol, p.TTL)
	var above []gopacket.SerializableLayer
	switch p.Kind {
	case KindTCP:
		above = tcpSegment(p, ip, size)
	case KindUDP:
		above = append(above, udpHeader(p.Source.Port(), p.Destination.Port(), ip), gopacket.Payload(payload(p.ID, size)))
	case KindGeneve:
		inner, err := innerFrame(p, size)
		if err != nil {
			return nil, err
		}
		above = append(above, udpHeader(p.Source.Port(), p.Destination.Port(), ip), gopacket.Payload(append(geneveHeader(p.Frontend), inner...)))
	}
	return serialize(append([]gopacket.SerializableLayer{ip.(gopacket.SerializableLayer)}, above...)...)
}

func serialize(all ...gopacket.SerializableLayer) ([]byte, error) {
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		return nil, fmt.Errorf("build probe: %w", err)
	}
	return buffer.Bytes(), nil
}

// ipHeader returns the IP header of a packet.
func ipHeader(from, to netip.Addr, protocol layers.IPProtocol, ttl uint8) gopacket.NetworkLayer {
	if ttl == 0 {
		ttl = DefaultTTL
	}
	if from.Is4() {
		return &layers.IPv4{Version: 4, TTL: ttl, Protocol: protocol, Flags: layers.IPv4DontFragment, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: protocol, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
}

func udpHeader(from, to uint16, ip gopacket.NetworkLayer) *layers.UDP {
	udp := &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
	_ = udp.SetNetworkLayerForChecksum(ip) // fails for other layers than IP only
	return udp
}

func tcpSegment(p Probe, ip gopacket.NetworkLayer, size int) []gopacket.SerializableLayer {
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(p.Source.Port()), DstPort: layers.TCPPort(p.Destination.Port()), Seq: p.ID, Ack: p.Acknowledge, Window: 65535,
		SYN: p.Flags&SYN != 0, ACK: p.Flags&ACK != 0,
	}
	_ = tcp.SetNetworkLayerForChecksum(ip) // as above
	if !p.Data {
		return []gopacket.SerializableLayer{tcp}
	}
	tcp.Seq, tcp.PSH = p.Sequence, true
	return []gopacket.SerializableLayer{tcp, gopacket.Payload(payload(p.ID, size))}
}

// geneveHeader returns the header of a tunnel's packet, with the DSR option of a frontend if there is one.
func geneveHeader(frontend netip.AddrPort) []byte {
	var option []byte
	if frontend.IsValid() {
		data := binary.BigEndian.AppendUint16(frontend.Addr().AsSlice(), frontend.Port())
		data = append(data, 0, 0)
		option = binary.BigEndian.AppendUint16(nil, optionClass)
		option = append(append(option, optionType, byte(len(data)/4)), data...)
	}
	header := []byte{byte(len(option) / 4), 0x40, 0x65, 0x58, 0, 0, vni, 0} // C: the option is critical; an Ethernet frame inside
	if frontend.IsValid() {
		return append(header, option...)
	}
	header[1] = 0
	return header
}

// innerFrame returns the frame in a tunnel: a datagram with the probe's payload.
func innerFrame(p Probe, size int) ([]byte, error) {
	from, to, kind := innerSource4, innerDestination4, layers.EthernetTypeIPv4
	if p.Source.Addr().Is6() {
		from, to, kind = innerSource6, innerDestination6, layers.EthernetTypeIPv6
	}
	ip := ipHeader(netip.MustParseAddr(from), netip.MustParseAddr(to), layers.IPProtocolUDP, 0)
	local := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	return serialize(&layers.Ethernet{SrcMAC: local, DstMAC: local, EthernetType: kind}, ip.(gopacket.SerializableLayer),
		udpHeader(FirstPort, FirstPort, ip), gopacket.Payload(payload(p.ID, size)))
}

package dataplane

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// packetSpec describes a TCP or UDP packet.
type packetSpec struct {
	src, dst       netip.Addr
	sport, dport   uint16
	udp            bool
	syn, ack, rst  bool
	fin            bool
	mss            uint16
	ttl            uint8
	payload        int
	ipOptions      bool        // IPv6: a hop-by-hop header
	noChecksum     bool        // UDP's is 0
	fragment       *fragSpec   // cut out of the packet
	geneve         *geneveSpec // around it
	srcMAC, dstMAC net.HardwareAddr
}

// fragSpec is a fragment of a packet.
type fragSpec struct {
	offset, size int // of the IP payload
	id           uint32
	df           bool
}

// geneveSpec is what stands around a packet on its way from LB node to pod node.
type geneveSpec struct {
	src, dst netip.Addr
	vni      uint32
	protocol uint16
	options  []byte
	critical bool
	control  bool // the O bit
}

// dsrOption is the DSR option for the frontend, written down from the wire format.
func dsrOption(addr netip.Addr, port uint16) []byte {
	data := addr.AsSlice()
	option := append([]byte{0x01, 0x4b, 0x81, byte(len(data)/4 + 1)}, data...)
	return append(option, byte(port>>8), byte(port), 0, 0)
}

func (s packetSpec) protocol() layers.IPProtocol {
	if s.udp {
		return layers.IPProtocolUDP
	}
	return layers.IPProtocolTCP
}

func (s packetSpec) hops() uint8 {
	if s.ttl == 0 {
		return 64
	}
	return s.ttl
}

// frame is the packet as bytes.
func (s packetSpec) frame(t testing.TB) []byte {
	t.Helper()
	src, dst := s.srcMAC, s.dstMAC
	if src == nil {
		src, dst = clientMAC, nodeMAC
	}
	inner := ethernet(t, src, dst, s.ip(t))
	if s.geneve == nil {
		return inner
	}
	return s.geneve.wrap(t, inner)
}

// ip is the packet from its IP header on.
func (s packetSpec) ip(t testing.TB) []byte {
	l4 := s.l4(t)
	if s.fragment != nil {
		l4 = l4[s.fragment.offset:min(len(l4), s.fragment.offset+s.fragment.size)]
	}
	if s.src.Is4() {
		return s.ip4(t, l4)
	}
	return s.ip6(t, l4)
}

func (s packetSpec) ip4(t testing.TB, l4 []byte) []byte {
	ip := &layers.IPv4{Version: 4, TTL: s.hops(), Protocol: s.protocol(), Flags: layers.IPv4DontFragment,
		SrcIP: s.src.AsSlice(), DstIP: s.dst.AsSlice(), Id: 4711}
	if s.ipOptions {
		ip.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
	}
	if f := s.fragment; f != nil {
		ip.Flags, ip.FragOffset, ip.Id = 0, uint16(f.offset/8), uint16(f.id)
		if f.df {
			ip.Flags |= layers.IPv4DontFragment
		}
		if f.offset+f.size < s.l4Length() {
			ip.Flags |= layers.IPv4MoreFragments
		}
	}
	return serialize(t, ip, gopacket.Payload(l4))
}

func (s packetSpec) ip6(t testing.TB, l4 []byte) []byte {
	ip := &layers.IPv6{Version: 6, HopLimit: s.hops(), NextHeader: s.protocol(), SrcIP: s.src.AsSlice(), DstIP: s.dst.AsSlice()}
	var before []byte
	if s.ipOptions {
		before = []byte{byte(ip.NextHeader), 0, 1, 4, 0, 0, 0, 0}
		ip.NextHeader = layers.IPProtocolIPv6HopByHop
	}
	if f := s.fragment; f != nil {
		offset := uint16(f.offset)
		if f.offset+f.size < s.l4Length() {
			offset |= 1
		}
		before = binary.BigEndian.AppendUint16([]byte{byte(ip.NextHeader), 0}, offset)
		before = binary.BigEndian.AppendUint32(before, f.id)
		ip.NextHeader = layers.IPProtocolIPv6Fragment
	}
	return serialize(t, ip, gopacket.Payload(append(before, l4...)))
}

func (s packetSpec) l4Length() int {
	if s.udp {
		return 8 + s.payload
	}
	return 20 + s.payload
}

// l4 is the packet from its UDP or TCP header on.
func (s packetSpec) l4(t testing.TB) []byte {
	payload := make([]byte, s.payload)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	var network gopacket.NetworkLayer = &layers.IPv6{SrcIP: s.src.AsSlice(), DstIP: s.dst.AsSlice(), NextHeader: s.protocol()}
	if s.src.Is4() {
		network = &layers.IPv4{SrcIP: s.src.AsSlice(), DstIP: s.dst.AsSlice(), Protocol: s.protocol()}
	}
	if s.udp {
		u := &layers.UDP{SrcPort: layers.UDPPort(s.sport), DstPort: layers.UDPPort(s.dport)}
		require.NoError(t, u.SetNetworkLayerForChecksum(network))
		raw := serialize(t, u, gopacket.Payload(payload))
		if s.noChecksum {
			raw[6], raw[7] = 0, 0
		}
		return raw
	}
	c := &layers.TCP{SrcPort: layers.TCPPort(s.sport), DstPort: layers.TCPPort(s.dport), SYN: s.syn, ACK: s.ack, RST: s.rst,
		FIN: s.fin, Seq: 1000, Window: 65535}
	if s.mss != 0 {
		c.Options = []layers.TCPOption{
			{OptionType: layers.TCPOptionKindNop},
			{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{byte(s.mss >> 8), byte(s.mss)}},
			{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2},
		}
	}
	require.NoError(t, c.SetNetworkLayerForChecksum(network))
	return serialize(t, c, gopacket.Payload(payload))
}

// ethernet puts an Ethernet header before an IP packet.
func ethernet(t testing.TB, src, dst net.HardwareAddr, ip []byte) []byte {
	kind := layers.EthernetTypeIPv4
	if ip[0]>>4 == 6 {
		kind = layers.EthernetTypeIPv6
	}
	return serialize(t, &layers.Ethernet{SrcMAC: src, DstMAC: dst, EthernetType: kind}, gopacket.Payload(ip))
}

func (g geneveSpec) wrap(t testing.TB, inner []byte) []byte {
	t.Helper()
	header := make([]byte, 8, 8+len(g.options)+len(inner))
	header[0] = byte(len(g.options) / 4)
	if g.critical {
		header[1] = 0x40
	}
	if g.control {
		header[1] |= 0x80
	}
	header[2], header[3] = byte(g.protocol>>8), byte(g.protocol)
	header[4], header[5], header[6] = byte(g.vni>>16), byte(g.vni>>8), byte(g.vni)
	var ip gopacket.SerializableLayer = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP,
		SrcIP: g.src.AsSlice(), DstIP: g.dst.AsSlice()}
	if g.src.Is4() {
		ip = &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: g.src.AsSlice(), DstIP: g.dst.AsSlice()}
	}
	udp := &layers.UDP{SrcPort: 50000, DstPort: 6081}
	require.NoError(t, udp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)))
	return ethernet(t, podNodeMAC, nodeMAC, serialize(t, ip, udp, gopacket.Payload(append(append(header, g.options...), inner...))))
}

// icmpError is an ICMP error with the first 28 or 48 bytes of the IP packet that it is about, as a router sends it.
func icmpError(t testing.TB, from, to netip.Addr, mtu uint16, about []byte) []byte {
	if from.Is4() {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
		icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: mtu}
		return ethernet(t, clientMAC, nodeMAC, serialize(t, ip, icmp, gopacket.Payload(about[:28])))
	}
	ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolICMPv6, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)}
	require.NoError(t, icmp.SetNetworkLayerForChecksum(ip))
	body := binary.BigEndian.AppendUint32(nil, uint32(mtu))
	return ethernet(t, clientMAC, nodeMAC, serialize(t, ip, icmp, gopacket.Payload(append(body, about[:48]...))))
}

func serialize(t testing.TB, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	require.NoError(t, gopacket.SerializeLayers(buffer, options, parts...))
	return buffer.Bytes()
}

// dissected is a frame taken apart by a decoder that this project did not write.
type dissected struct {
	eth      *layers.Ethernet
	ip4      *layers.IPv4
	ip6      *layers.IPv6
	fragment *layers.IPv6Fragment
	tcp      *layers.TCP
	udp      *layers.UDP
	icmp4    *layers.ICMPv4
	icmp6    *layers.ICMPv6
	payload  []byte // behind the last header that was decoded
	geneve   *layers.Geneve
	inner    *dissected
}

// dissect decodes the frame and checks every checksum and length in it.
func dissect(t testing.TB, frame []byte) *dissected {
	t.Helper()
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	if bad := packet.ErrorLayer(); bad != nil {
		require.NoError(t, bad.Error(), "%v", packet)
	}
	var all, current *dissected
	for _, layer := range packet.Layers() {
		if l, ok := layer.(*layers.Ethernet); ok {
			next := &dissected{eth: l}
			if current != nil {
				current.inner = next
			} else {
				all = next
			}
			current = next
			continue
		}
		current.add(t, layer)
	}
	err, mismatches := packet.VerifyChecksums()
	require.NoError(t, err)
	for _, m := range mismatches {
		if udp, ok := m.Layer.(*layers.UDP); ok && udp.Checksum == 0 {
			continue // none: allowed over IPv4, and by RFC 6935 for tunnels over IPv6
		}
		if current.isFragment() {
			continue // covers the whole datagram
		}
		assert.Fail(t, "wrong checksum", "%s: %v, correct is %#x", m.Layer.LayerType(), m, m.Correct)
	}
	return all
}

func (d *dissected) add(t testing.TB, layer gopacket.Layer) {
	switch l := layer.(type) {
	case *layers.IPv4:
		d.ip4 = l
		assert.EqualValues(t, len(l.Contents)+len(l.Payload), l.Length, "IPv4 length")
	case *layers.IPv6:
		d.ip6 = l
		assert.EqualValues(t, len(l.Payload), l.Length, "IPv6 length")
	case *layers.IPv6Fragment:
		d.fragment = l
	case *layers.TCP:
		d.tcp = l
		require.NoError(t, l.SetNetworkLayerForChecksum(d.network()))
	case *layers.UDP:
		d.udp = l
		require.NoError(t, l.SetNetworkLayerForChecksum(d.network()))
		if !d.isFragment() {
			assert.EqualValues(t, len(l.Contents)+len(l.Payload), l.Length, "UDP length")
		}
	case *layers.ICMPv4:
		d.icmp4 = l
	case *layers.ICMPv6:
		d.icmp6 = l
		require.NoError(t, l.SetNetworkLayerForChecksum(d.network()))
	case *layers.Geneve:
		d.geneve = l
	}
	d.payload = layer.LayerPayload()
}

func (d *dissected) isFragment() bool {
	return d.fragment != nil || d.ip4 != nil && (d.ip4.FragOffset != 0 || d.ip4.Flags&layers.IPv4MoreFragments != 0)
}

func (d *dissected) network() gopacket.NetworkLayer {
	if d.ip4 != nil {
		return d.ip4
	}
	return d.ip6
}

// addresses are source and destination.
func (d *dissected) addresses() [2]netip.Addr {
	flow := d.network().NetworkFlow()
	src, _ := netip.AddrFromSlice(flow.Src().Raw())
	dst, _ := netip.AddrFromSlice(flow.Dst().Raw())
	return [2]netip.Addr{src, dst}
}

// ports are source and destination, zeroes where there are none.
func (d *dissected) ports() [2]uint16 {
	switch {
	case d.tcp != nil:
		return [2]uint16{uint16(d.tcp.SrcPort), uint16(d.tcp.DstPort)}
	case d.udp != nil:
		return [2]uint16{uint16(d.udp.SrcPort), uint16(d.udp.DstPort)}
	case d.ip4 != nil && d.isFragment() && d.ip4.FragOffset == 0:
		return [2]uint16{binary.BigEndian.Uint16(d.ip4.Payload), binary.BigEndian.Uint16(d.ip4.Payload[2:])}
	case d.fragment != nil && d.fragment.FragmentOffset == 0:
		return [2]uint16{binary.BigEndian.Uint16(d.fragment.Payload), binary.BigEndian.Uint16(d.fragment.Payload[2:])}
	}
	return [2]uint16{}
}

func (d *dissected) ttl() uint8 {
	if d.ip4 != nil {
		return d.ip4.TTL
	}
	return d.ip6.HopLimit
}

func (d *dissected) mss() uint16 {
	for _, o := range d.tcp.Options {
		if o.OptionType == layers.TCPOptionKindMSS {
			return uint16(o.OptionData[0])<<8 | uint16(o.OptionData[1])
		}
	}
	return 0
}

package l2

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
)

// meaning is what someone says about an address.
type meaning int

const (
	asks   meaning = iota // who has it?
	probes                // who has it, before I take it? (RFC 5227, section 2.1.1; RFC 4862, section 5.4.2)
	claims                // I have it
)

// word is an ARP packet or an NDP message, as far as it matters here.
type word struct {
	meaning meaning
	address netip.Addr
	mac     net.HardwareAddr // of who says it
	from    netip.Addr       // who asks
}

// frame is what is to be sent: an ARP packet, or with ipv6 an IPv6 packet.
type frame struct {
	ipv6    bool
	to      net.HardwareAddr
	payload []byte
}

const (
	ethernet       = 1      // ARP's hardware type
	ipv4           = 0x0800 // EtherType
	ipv6Header     = 40     // bytes
	icmpv6         = 58     // next header
	hopLimit       = 255    // of all NDP messages: no router has passed them on (RFC 4861, section 7.1.1)
	solicitation   = 135
	advertisement  = 136
	ethernetLength = 6 // bytes of an address
)

func broadcast() net.HardwareAddr { return net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// multicast is the Ethernet address of a group (RFC 2464, section 7).
func multicast(group netip.Addr) net.HardwareAddr {
	b := group.As16()
	return net.HardwareAddr{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

func allNodes() netip.Addr { return netip.IPv6LinkLocalAllNodes() }

// readARP reads a packet; false: it says nothing of interest.
func readARP(payload []byte) (word, bool) {
	var p arp.Packet
	if err := p.UnmarshalBinary(payload); err != nil || p.HardwareType != ethernet || p.HardwareAddrLength != ethernetLength ||
		p.ProtocolType != ipv4 || p.IPLength != 4 {
		return word{}, false
	}
	w := word{mac: p.SenderHardwareAddr, from: p.SenderIP}
	switch {
	case p.Operation == arp.OperationReply || p.SenderIP == p.TargetIP:
		w.meaning, w.address = claims, p.SenderIP
	case p.Operation != arp.OperationRequest:
		return word{}, false
	case p.SenderIP.IsUnspecified():
		w.meaning, w.address = probes, p.TargetIP
	default:
		w.meaning, w.address = asks, p.TargetIP
	}
	return w, true
}

// readNDP reads an IPv6 packet that came from mac; false: it says nothing of interest. The checksum is not looked at: what comes
// over a veth has none yet.
func readNDP(packet []byte, mac net.HardwareAddr) (word, bool) {
	if len(packet) < ipv6Header+4 || packet[6] != icmpv6 || packet[7] != hopLimit || packet[ipv6Header+1] != 0 {
		return word{}, false
	}
	end := min(len(packet), ipv6Header+int(binary.BigEndian.Uint16(packet[4:])))
	if kind := packet[ipv6Header]; kind != solicitation && kind != advertisement {
		return word{}, false
	}
	message, err := ndp.ParseMessage(packet[ipv6Header:max(end, ipv6Header)])
	if err != nil {
		return word{}, false
	}
	from := netip.AddrFrom16([16]byte(packet[8:24]))
	w := word{mac: mac, from: from}
	switch m := message.(type) {
	case *ndp.NeighborSolicitation:
		if w.meaning, w.address = asks, m.TargetAddress; from.IsUnspecified() {
			w.meaning = probes
		}
		w.mac = linkLayer(m.Options, ndp.Source, mac)
	case *ndp.NeighborAdvertisement:
		w.meaning, w.address = claims, m.TargetAddress
		w.mac = linkLayer(m.Options, ndp.Target, mac)
	}
	return w, true
}

func linkLayer(options []ndp.Option, direction ndp.Direction, otherwise net.HardwareAddr) net.HardwareAddr {
	for _, o := range options {
		if l, ok := o.(*ndp.LinkLayerAddress); ok && l.Direction == direction && len(l.Addr) == ethernetLength {
			return l.Addr
		}
	}
	return otherwise
}

// answer tells who asked.
func answer(to word, mac net.HardwareAddr) frame {
	if to.address.Is4() {
		return arpFrame(arp.OperationReply, mac, to.address, to.mac, to.from)
	}
	if to.meaning == probes { // who has no address yet hears what all hear (RFC 4861, section 7.2.4)
		return tell(to.address, mac)
	}
	return advertise(to.address, mac, to.from, to.mac, true)
}

// tell tells all: an announcement of ARP (RFC 5227, section 3), an unsolicited advertisement (RFC 4861, section 7.2.6).
func tell(vip netip.Addr, mac net.HardwareAddr) frame {
	if vip.Is4() {
		return arpFrame(arp.OperationRequest, mac, vip, broadcast(), vip)
	}
	return advertise(vip, mac, allNodes(), multicast(allNodes()), false)
}

// probe asks whether someone speaks for a VIP.
func probe(vip netip.Addr, mac net.HardwareAddr) frame {
	if vip.Is4() {
		return arpFrame(arp.OperationRequest, mac, netip.IPv4Unspecified(), broadcast(), vip)
	}
	group := groupOf(vip)
	return ndpFrame(&ndp.NeighborSolicitation{TargetAddress: vip}, netip.IPv6Unspecified(), group, multicast(group))
}

// groupOf is the solicited-node multicast address (RFC 4291, section 2.7.1).
func groupOf(vip netip.Addr) netip.Addr {
	group, _ := ndp.SolicitedNodeMulticast(vip) // it fails for IPv4 only
	return group
}

// arpFrame goes to everybody where a target's Ethernet address is broadcast; in the packet that is left open (RFC 5227, section 1.1).
func arpFrame(operation arp.Operation, mac net.HardwareAddr, sender netip.Addr, to net.HardwareAddr, target netip.Addr) frame {
	targetMAC := to
	if operation == arp.OperationRequest {
		targetMAC = make(net.HardwareAddr, ethernetLength)
	}
	p := arp.Packet{
		HardwareType: ethernet, ProtocolType: ipv4, HardwareAddrLength: ethernetLength, IPLength: 4, Operation: operation,
		SenderHardwareAddr: mac, SenderIP: sender, TargetHardwareAddr: targetMAC, TargetIP: target,
	}
	payload, _ := p.MarshalBinary() // it never fails
	return frame{to: to, payload: payload}
}

// advertise overrides what neighbours remember: the node before may be gone.
func advertise(vip netip.Addr, mac net.HardwareAddr, to netip.Addr, toMAC net.HardwareAddr, solicited bool) frame {
	return ndpFrame(&ndp.NeighborAdvertisement{
		Solicited: solicited, Override: true, TargetAddress: vip,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: mac}},
	}, vip, to, toMAC)
}

func ndpFrame(m ndp.Message, from, to netip.Addr, toMAC net.HardwareAddr) frame {
	body, err := ndp.MarshalMessageChecksum(m, from, to)
	if err != nil { // of an address that is not of IPv6: there are none here
		return frame{ipv6: true, to: toMAC}
	}
	packet := make([]byte, ipv6Header, ipv6Header+len(body))
	packet[0] = 6 << 4
	binary.BigEndian.PutUint16(packet[4:], uint16(len(body)))
	packet[6], packet[7] = icmpv6, hopLimit
	copy(packet[8:], from.AsSlice())
	copy(packet[24:], to.AsSlice())
	return frame{ipv6: true, to: toMAC, payload: append(packet, body...)}
}

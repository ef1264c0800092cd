// Package capture reads the captures of labs: frames, the Geneve encapsulation around them, and facts about the paths of
// requests and replies that follow from all frames of a variant.
package capture

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Frame holds the fields of a captured frame that labs ask for.
type Frame struct {
	SourceMAC, DestinationMAC net.HardwareAddr // of the outer Ethernet header
	Source, Destination       Endpoint
	TTL                       uint8       // the hop limit, in IPv6
	TCP                       *layers.TCP // nil for UDP
	Outer                     *Tunnel     // the encapsulation; nil without
}

// Tunnel holds the Geneve encapsulation of a frame.
type Tunnel struct {
	Source, Destination netip.Addr
	SourcePort          uint16
	TTL                 uint8
	VNI                 uint32
	Critical            bool
	Frontend            netip.AddrPort // of the DSR option; zero without one
	Option              []byte         // as on the wire, including its header
}

// IsFirst reports whether the frame can be the first packet of a flow: a SYN, or any datagram.
func (f *Frame) IsFirst() bool { return f.TCP == nil || f.TCP.SYN && !f.TCP.ACK }

// Dissect reads a capture and passes every TCP and UDP frame to handle, in the order of capture.
func Dissect(r io.Reader, handle func(*Frame)) error {
	capture, err := pcapgo.NewNgReader(r, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		return fmt.Errorf("read capture: %w", err)
	}
	for {
		data, _, err := capture.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read capture: %w", err)
		}
		if f := dissect(data); f != nil {
			handle(f)
		}
	}
}

// dissect returns nil for a frame that is neither TCP nor UDP.
func dissect(data []byte) *Frame {
	packet := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true, Lazy: true})
	var f *Frame
	var eth *layers.Ethernet
	var ip gopacket.NetworkLayer
	var ttl uint8
	var outer *Tunnel
	for _, layer := range packet.Layers() {
		switch l := layer.(type) {
		case *layers.Ethernet:
			eth = cmp.Or(eth, l)
		case *layers.IPv4:
			ip, ttl = l, l.TTL
		case *layers.IPv6:
			ip, ttl = l, l.HopLimit
		case *layers.TCP:
			f = newFrame(ip, services.TCP, uint16(l.SrcPort), uint16(l.DstPort), outer)
			f.TCP, f.TTL = l, ttl
		case *layers.UDP:
			f = newFrame(ip, services.UDP, uint16(l.SrcPort), uint16(l.DstPort), outer)
			f.TTL = ttl
		case *layers.Geneve:
			outer = newTunnel(f, l)
		}
	}
	if f != nil {
		f.SourceMAC, f.DestinationMAC = eth.SrcMAC, eth.DstMAC
	}
	return f
}

func newFrame(ip gopacket.NetworkLayer, p services.Protocol, source, destination uint16, outer *Tunnel) *Frame {
	flow := ip.NetworkFlow()
	from, _ := netip.AddrFromSlice(flow.Src().Raw())
	to, _ := netip.AddrFromSlice(flow.Dst().Raw())
	return &Frame{
		Source:      Endpoint{netip.AddrPortFrom(from.Unmap(), source), p},
		Destination: Endpoint{netip.AddrPortFrom(to.Unmap(), destination), p},
		Outer:       outer,
	}
}

// The DSR option of the wire format.
const (
	dsrClass = 0x014b
	dsrType  = 0x81
)

func newTunnel(around *Frame, g *layers.Geneve) *Tunnel {
	t := &Tunnel{
		Source: around.Source.Address.Addr(), Destination: around.Destination.Address.Addr(),
		SourcePort: around.Source.Address.Port(), TTL: around.TTL, VNI: g.VNI, Critical: g.CriticalOption,
	}
	t.Frontend, t.Option = findDSROption(g.Contents[8:])
	return t
}

// findDSROption returns the frontend in the DSR option among Geneve's options, and the option as on the wire.
func findDSROption(options []byte) (netip.AddrPort, []byte) {
	for len(options) >= 4 {
		size := 4 + 4*int(options[3]&0x1f)
		if size > len(options) {
			break
		}
		if binary.BigEndian.Uint16(options) == dsrClass && options[2] == dsrType && (size == 12 || size == 24) {
			address, _ := netip.AddrFromSlice(options[4 : size-4])
			return netip.AddrPortFrom(address, binary.BigEndian.Uint16(options[size-4:])), options[:size]
		}
		options = options[size:]
	}
	return netip.AddrPort{}, nil
}

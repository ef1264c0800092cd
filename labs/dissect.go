package labs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// frame is what a captured frame says, as far as labs ask.
type frame struct {
	source, destination endpoint
	tcp                 *layers.TCP // nil for UDP
	outer               *tunnel     // around it, or nil
}

// tunnel is the Geneve around a frame.
type tunnel struct {
	source, destination netip.Addr
	sourcePort          uint16
	vni                 uint32
	critical            bool
	frontend            netip.AddrPort // of the DSR option; zero without one
	option              []byte         // as on the wire, its header too
}

// isFirst tells the first packet of a flow, as far as a packet alone can tell: a SYN, or any datagram.
func (f *frame) isFirst() bool { return f.tcp == nil || f.tcp.SYN && !f.tcp.ACK }

// dissectCapture reads a capture and hands every TCP and UDP frame to handle, in the order of their capture.
func dissectCapture(r io.Reader, handle func(*frame)) error {
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

// dissect is nil for what is neither TCP nor UDP.
func dissect(data []byte) *frame {
	packet := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true, Lazy: true})
	var f *frame
	var ip gopacket.NetworkLayer
	var outer *tunnel
	for _, layer := range packet.Layers() {
		switch l := layer.(type) {
		case *layers.IPv4:
			ip = l
		case *layers.IPv6:
			ip = l
		case *layers.TCP:
			f = newFrame(ip, services.TCP, uint16(l.SrcPort), uint16(l.DstPort), outer)
			f.tcp = l
		case *layers.UDP:
			f = newFrame(ip, services.UDP, uint16(l.SrcPort), uint16(l.DstPort), outer)
		case *layers.Geneve:
			outer = newTunnel(f, l)
		}
	}
	return f
}

func newFrame(ip gopacket.NetworkLayer, p services.Protocol, source, destination uint16, outer *tunnel) *frame {
	flow := ip.NetworkFlow()
	from, _ := netip.AddrFromSlice(flow.Src().Raw())
	to, _ := netip.AddrFromSlice(flow.Dst().Raw())
	return &frame{
		source:      endpoint{netip.AddrPortFrom(from.Unmap(), source), p},
		destination: endpoint{netip.AddrPortFrom(to.Unmap(), destination), p},
		outer:       outer,
	}
}

// The DSR option of the wire format.
const (
	dsrClass = 0x014b
	dsrType  = 0x81
)

func newTunnel(around *frame, g *layers.Geneve) *tunnel {
	t := &tunnel{
		source: around.source.address.Addr(), destination: around.destination.address.Addr(),
		sourcePort: around.source.address.Port(), vni: g.VNI, critical: g.CriticalOption,
	}
	t.frontend, t.option = findDSROption(g.Contents[8:])
	return t
}

// findDSROption looks for the DSR option among Geneve's options: the frontend in it, and the option as on the wire.
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

package capture

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Header is one header of a packet, as text.
type Header struct {
	Name string `json:"name"` // eth, ip, udp, tcp, icmp, geneve
	Text string `json:"text"`
}

// Headers holds the headers of a packet from the outside in.
type Headers []Header

// String formats all headers but Ethernet's in one line.
func (h Headers) String() string {
	var parts []string
	for _, header := range h {
		if header.Name != "eth" {
			parts = append(parts, header.Name+" "+header.Text)
		}
	}
	return strings.Join(parts, " | ")
}

// ReadHeaders parses the headers at the start of a frame until it finds an unknown one.
func ReadHeaders(frame []byte) Headers {
	var all Headers
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true, Lazy: false})
	for _, layer := range packet.Layers() {
		if h := readHeader(layer); h.Name != "" {
			all = append(all, h)
		}
	}
	return all
}

func readHeader(layer gopacket.Layer) Header {
	switch l := layer.(type) {
	case *layers.Ethernet:
		return Header{"eth", fmt.Sprintf("%v > %v", l.SrcMAC, l.DstMAC)}
	case *layers.IPv4:
		return Header{"ip", fmt.Sprintf("%v > %v ttl %d", l.SrcIP, l.DstIP, l.TTL)}
	case *layers.IPv6:
		return Header{"ip", fmt.Sprintf("%v > %v ttl %d", l.SrcIP, l.DstIP, l.HopLimit)}
	case *layers.UDP:
		return Header{"udp", fmt.Sprintf("%d > %d", l.SrcPort, l.DstPort)}
	case *layers.TCP:
		return Header{"tcp", fmt.Sprintf("%d > %d [%s]", l.SrcPort, l.DstPort, flagNames(l))}
	case *layers.ICMPv4:
		return Header{"icmp", l.TypeCode.String()}
	case *layers.ICMPv6:
		return Header{"icmp", l.TypeCode.String()}
	case *layers.Geneve:
		text := fmt.Sprintf("vni %d", l.VNI)
		if frontend, raw := findDSROption(l.Contents[8:]); frontend.IsValid() {
			text += fmt.Sprintf(" option %v (%s)", frontend, hex.EncodeToString(raw))
		}
		return Header{"geneve", text}
	}
	return Header{}
}

// flagNames lists the flags that are set in a TCP header.
func flagNames(l *layers.TCP) string {
	var set []string
	for _, f := range []struct {
		on   bool
		name string
	}{{l.SYN, "SYN"}, {l.FIN, "FIN"}, {l.RST, "RST"}, {l.PSH, "PSH"}, {l.ACK, "ACK"}} {
		if f.on {
			set = append(set, f.name)
		}
	}
	return strings.Join(set, ", ")
}

package dataplane

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// Event is one packet of a flow: its first, its last, or a dropped one.
type Event struct {
	Time        time.Time // of the reader's clock: two readers may differ by microseconds; see also Config.PreciseEvents
	Point       Direction
	Reason      Reason
	Service     string         // namespace/name:port/PROTO; empty where not known
	Number      uint32         // of the service's port; 0 where not known
	Protocol    string         // TCP, UDP, or the protocol's number
	Source      netip.AddrPort // as the packet came; of the inner packet, where it came by Geneve
	Destination netip.AddrPort
	Frontend    netip.AddrPort // zero where not known
	Backend     netip.AddrPort // likewise
	Node        netip.Addr     // the other end of the tunnel; zero where not known
	TCPFlags    TCPFlags
	Option      bool   // the packet carries, or carried, the DSR option
	Begins      bool   // the first packet of a flow
	DSR         bool   // mode
	Bytes       uint32 // from the Ethernet header on, as the packet came
}

// TCPFlags are the flags of a TCP header (RFC 9293, 3.1).
type TCPFlags uint8

// SYN is the flag that begins a connection.
const SYN TCPFlags = 1 << 1

// String lists the flags as `hubble observe` does: SYN, ACK.
func (f TCPFlags) String() string {
	var s string
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"} {
		if f&(1<<i) == 0 {
			continue
		}
		if s != "" {
			s += ", "
		}
		s += name
	}
	return s
}

// eventDecoder turns what the maps hold into events.
type eventDecoder struct {
	path   *DataPath
	boot   time.Time
	names  map[uint32]string
	points []Direction // by enum point
}

func (d *DataPath) newEventDecoder() (*eventDecoder, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return nil, err
	}
	return &eventDecoder{
		path: d, boot: time.Now().Add(-time.Duration(now.Nano())), names: make(map[uint32]string),
		points: []Direction{
			bpf.DatapathPointPOINT_FROM_NETWORK:     FromNetwork,
			bpf.DatapathPointPOINT_FROM_NETWORK_XDP: FromNetworkXDP,
			bpf.DatapathPointPOINT_FROM_POD:         FromPod,
			bpf.DatapathPointPOINT_FROM_NODE:        FromNode,
			bpf.DatapathPointPOINT_TO_POD:           ToPod,
		},
	}, nil
}

// decode reads a struct as it stands in memory.
func decode(raw []byte, into any) error {
	if _, err := binary.Decode(raw, binary.NativeEndian, into); err != nil {
		return fmt.Errorf("decode event of %d bytes: %w", len(raw), err)
	}
	return nil
}

func (r *eventDecoder) event(e *bpf.DatapathEvent) Event {
	flags := bpf.DatapathEventFlags(e.Flags)
	point := Direction(fmt.Sprintf("point-%d", e.Point))
	if int(e.Point) < len(r.points) {
		point = r.points[e.Point]
	}
	return Event{
		Time:        r.boot.Add(time.Duration(e.Time)),
		Point:       point,
		Reason:      Reason(e.Reason),
		Service:     r.name(e.Service),
		Number:      e.Service,
		Protocol:    protocolName(e.Tuple.Protocol),
		Source:      bpf.AddrPort(e.Tuple.Source, e.Tuple.SourcePort),
		Destination: bpf.AddrPort(e.Tuple.Destination, e.Tuple.DestinationPort),
		Frontend:    bpf.AddrPort(e.Frontend, e.FrontendPort),
		Backend:     bpf.AddrPort(e.Backend, e.BackendPort),
		Node:        e.Node.Addr(),
		TCPFlags:    TCPFlags(e.TcpFlags),
		Option:      flags&bpf.DatapathEventFlagsEVENT_OPTION != 0,
		Begins:      flags&bpf.DatapathEventFlagsEVENT_BEGINS != 0,
		DSR:         bpf.DatapathMode(e.Mode) == bpf.DatapathModeMODE_DSR,
		Bytes:       e.Bytes,
	}
}

// name is the name of a service's number. A number that is given to another service meanwhile keeps the name that it had.
func (r *eventDecoder) name(number uint32) string {
	if number == 0 {
		return ""
	}
	name, ok := r.names[number]
	if !ok {
		var text bpf.DatapathServiceName
		if err := r.path.objects.ServiceNames.Lookup(number, &text); err == nil {
			name = text.String()
		}
		r.names[number] = name
	}
	return name
}

func protocolName(p uint8) string {
	switch p {
	case unix.IPPROTO_TCP:
		return "TCP"
	case unix.IPPROTO_UDP:
		return "UDP"
	case unix.IPPROTO_ICMP:
		return "ICMP"
	case unix.IPPROTO_ICMPV6:
		return "ICMPv6"
	}
	return fmt.Sprint(p)
}

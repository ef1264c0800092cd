package dataplane

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

// Event is one packet of a flow: its first, its last, a dropped one, or a sample of the others.
type Event struct {
	Time        time.Time
	Point       Direction
	Reason      Reason
	Protocol    string         // TCP or UDP
	Source      netip.AddrPort // as the packet came; of the inner packet, where it came by Geneve
	Destination netip.AddrPort
	Frontend    netip.AddrPort // zero where not known
	Backend     netip.AddrPort // likewise
	Node        netip.Addr     // the other end of the tunnel, or where the answer goes
	TCPFlags    TCPFlags
	Option      bool   // the packet carries, or carried, the DSR option
	DSR         bool   // mode
	Bytes       uint32 // from the Ethernet header on, as the packet came
}

// TCPFlags are the flags of a TCP header (RFC 9293, 3.1).
type TCPFlags uint8

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

// Events hands each event of the node to handle until ctx ends; without follow, until no more are waiting. The ring has one
// reader at a time, and what one reader has read no other sees.
func (d *DataPath) Events(ctx context.Context, follow bool, handle func(Event) error) error {
	reader, err := ringbuf.NewReader(d.objects.Events)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer reader.Close()
	stop := context.AfterFunc(ctx, func() { reader.Close() })
	defer stop()
	if !follow {
		reader.SetDeadline(time.Now())
	}
	boot, err := bootTime()
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	var record ringbuf.Record
	for {
		err := reader.ReadInto(&record)
		if errors.Is(err, ringbuf.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		event, err := decodeEvent(record.RawSample, boot)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if err := handle(event); err != nil {
			return err
		}
	}
}

// bootTime is when the monotonic clock was zero.
func bootTime() (time.Time, error) {
	var monotonic unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic); err != nil {
		return time.Time{}, err
	}
	return time.Now().Add(-time.Duration(monotonic.Nano())), nil
}

func decodeEvent(raw []byte, boot time.Time) (Event, error) {
	var e datapathEvent
	if _, err := binary.Decode(raw, binary.NativeEndian, &e); err != nil {
		return Event{}, fmt.Errorf("decode event of %d bytes: %w", len(raw), err)
	}
	point := FromNetwork
	if datapathPoint(e.Point) == datapathPointPOINT_FROM_POD {
		point = FromPod
	}
	return Event{
		Time:        boot.Add(time.Duration(e.Time)),
		Point:       point,
		Reason:      Reason(e.Reason),
		Protocol:    protocolName(e.Protocol),
		Source:      addrPort(e.Source, e.SourcePort),
		Destination: addrPort(e.Destination, e.DestinationPort),
		Frontend:    addrPort(e.Frontend, e.FrontendPort),
		Backend:     addrPort(e.Backend, e.BackendPort),
		Node:        addrPort(e.Node, 0).Addr(),
		TCPFlags:    TCPFlags(e.TcpFlags),
		Option:      datapathEventFlags(e.Flags)&datapathEventFlagsEVENT_OPTION != 0,
		DSR:         datapathMode(e.Mode) == datapathModeMODE_DSR,
		Bytes:       e.Bytes,
	}, nil
}

func protocolName(p uint8) string {
	switch p {
	case unix.IPPROTO_TCP:
		return "TCP"
	case unix.IPPROTO_UDP:
		return "UDP"
	}
	return fmt.Sprint(p)
}

// addrPort is the zero value for an address of zeroes: not known.
func addrPort(addr [16]byte, port uint16) netip.AddrPort {
	if addr == [16]byte{} {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16(addr).Unmap(), port16(port))
}

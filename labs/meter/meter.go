// Package meter counts how many bytes of answers cross a port of the fabric: the evidence for, or against, the claim that
// replies bypass the LB node.
package meter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Source is where answers come from: address and port of a frontend or backend.
type Source struct {
	Address  netip.AddrPort
	Protocol uint8 // IPPROTO_TCP or IPPROTO_UDP
}

// Crossed is what crossed a port in one direction. Bytes count from the Ethernet header on; a super-packet counts once, with
// all its bytes.
type Crossed struct {
	Frames, Bytes uint64
}

// Add is the sum of two counts.
func (c Crossed) Add(other Crossed) Crossed {
	return Crossed{c.Frames + other.Frames, c.Bytes + other.Bytes}
}

// Meter counts on one device until it is closed.
type Meter struct {
	objects meterObjects
	socket  int
}

// Open starts counting on a device of the caller's network namespace.
func Open(device string, sources []Source) (*Meter, error) {
	iface, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("open meter on %s: %w", device, err)
	}
	m := &Meter{socket: -1}
	if err := loadMeterObjects(&m.objects, nil); err != nil {
		return nil, fmt.Errorf("open meter on %s: %w", device, err)
	}
	for _, s := range sources {
		if !s.Address.Addr().Is4() {
			continue
		}
		a := s.Address.Addr().As4()
		port := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, s.Address.Port()))
		key := meterSource{Addr: binary.NativeEndian.Uint32(a[:]), Port: port, Protocol: s.Protocol}
		if err := m.objects.Sources.Put(key, uint8(1)); err != nil {
			return nil, errors.Join(fmt.Errorf("open meter on %s: %w", device, err), m.Close())
		}
	}
	if err := m.listen(iface.Index); err != nil {
		return nil, errors.Join(fmt.Errorf("open meter on %s: %w", device, err), m.Close())
	}
	return m, nil
}

// listen attaches the program before it binds: no frame is queued that the program has not seen.
func (m *Meter) listen(ifindex int) (err error) {
	m.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(m.socket, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, m.objects.CountAnswers.FD()); err != nil {
		return err
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	return unix.Bind(m.socket, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex})
}

// Read is what has crossed since Open, to and from the node behind the port.
func (m *Meter) Read() (toNode, fromNode Crossed, err error) {
	for way, sum := range map[meterWay]*Crossed{meterWayWAY_TO_NODE: &toNode, meterWayWAY_FROM_NODE: &fromNode} {
		var perCPU []meterCrossed
		if err := m.objects.Counts.Lookup(way, &perCPU); err != nil {
			return Crossed{}, Crossed{}, fmt.Errorf("read meter: %w", err)
		}
		for _, c := range perCPU {
			*sum = sum.Add(Crossed{c.Frames, c.Bytes})
		}
	}
	return toNode, fromNode, nil
}

// Close stops counting.
func (m *Meter) Close() error {
	if m.socket >= 0 {
		unix.Close(m.socket)
	}
	return m.objects.Close()
}

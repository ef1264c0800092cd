// Package meter counts how many bytes of replies cross a port of the fabric: the evidence for or against the claim that
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

// Source is the source of replies: address and port of a frontend or backend.
type Source struct {
	Address  netip.AddrPort
	Protocol uint8 // IPPROTO_TCP or IPPROTO_UDP
}

// Count counts the frames that crossed a port in one direction. Bytes include the Ethernet header; a GSO super-packet is one
// frame with all its bytes.
type Count struct {
	Frames, Bytes uint64
}

// Add returns the sum of two counts.
func (c Count) Add(other Count) Count {
	return Count{c.Frames + other.Frames, c.Bytes + other.Bytes}
}

// Meter counts the replies that cross one device, until it is closed.
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

// Read returns what has crossed the port since Open, to and from the node behind it.
func (m *Meter) Read() (toNode, fromNode Count, err error) {
	for way, sum := range map[meterWay]*Count{meterWayWAY_TO_NODE: &toNode, meterWayWAY_FROM_NODE: &fromNode} {
		var perCPU []meterCrossed
		if err := m.objects.Counts.Lookup(way, &perCPU); err != nil {
			return Count{}, Count{}, fmt.Errorf("read meter: %w", err)
		}
		for _, c := range perCPU {
			*sum = sum.Add(Count{c.Frames, c.Bytes})
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

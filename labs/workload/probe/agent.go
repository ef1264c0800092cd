package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// Agent sends probes from one network namespace, and reports those that it sees there. Its methods may be called from several
// goroutines.
type Agent struct {
	enter    workload.Enter
	out      int // packet socket to send by
	ears     []ear
	wake     int // event that ends the reading
	done     chan struct{}
	err      error // why the reading has ended, once done is closed
	devices  map[int]string
	guards   []int
	mu       sync.Mutex // of hops, failed and guards
	hops     map[netip.Addr]hop
	failed   map[netip.Addr]failure
	sighting func(Sighting)
}

// ear is a socket that sees packets.
type ear struct {
	fd       int
	protocol layers.IPProtocol // of an IPv6 raw socket, whose packets begin behind the IP header
	level    Level
}

// buffer is a socket's, in bytes.
const buffer = 4 << 20

// Open begins to listen in a namespace, and calls onSighting with each probe that is seen, one after the other, in the order in which they
// came to each socket. It needs CAP_NET_RAW there. A packet that the device has received is reported at LevelSocket, too, before any
// that was received later is.
func Open(enter workload.Enter, onSighting func(Sighting)) (*Agent, error) {
	a := &Agent{enter: enter, out: -1, wake: -1, done: make(chan struct{}), hops: make(map[netip.Addr]hop), failed: make(map[netip.Addr]failure), sighting: onSighting,
		devices: make(map[int]string)}
	if err := enter.Do(a.open); err != nil {
		a.closeSockets()
		return nil, fmt.Errorf("open probe agent: %w", err)
	}
	go a.listen()
	return a, nil
}

func (a *Agent) open() error {
	all, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list devices: %w", err)
	}
	for _, device := range all {
		if device.Flags&net.FlagLoopback == 0 {
			a.devices[device.Index] = device.Name
		}
	}
	if a.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("make event: %w", err)
	}
	if a.out, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open packet socket: %w", err)
	}
	if err := a.hear(unix.AF_PACKET, unix.SOCK_DGRAM, 0, LevelDevice, packetFilter()); err != nil {
		return err
	}
	for _, protocol := range []int{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		if err := a.hear(unix.AF_INET, unix.SOCK_RAW, protocol, LevelSocket, packetFilter()); err != nil {
			return err
		}
		err := a.hear(unix.AF_INET6, unix.SOCK_RAW, protocol, LevelSocket, transportFilter())
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
			return err
		}
	}
	// Only now the packet socket gets its packets: whatever it sees, the others see, too.
	return unix.Bind(a.ears[0].fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL)})
}

// hear opens a socket that sees packets.
func (a *Agent) hear(domain, kind, protocol int, level Level, filter []unix.SockFilter) error {
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return fmt.Errorf("open raw socket: %w", err)
	}
	e := ear{fd: fd, level: level}
	if domain == unix.AF_INET6 {
		e.protocol = layers.IPProtocol(protocol)
	}
	a.ears = append(a.ears, e)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) // else the default's size
	program := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program); err != nil {
		return fmt.Errorf("attach filter: %w", err)
	}
	return nil
}

func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// Close stops listening. It returns why the agent had stopped before, if it had.
func (a *Agent) Close() error {
	_, err := unix.Write(a.wake, binary.NativeEndian.AppendUint64(nil, 1))
	<-a.done
	a.closeSockets()
	return errors.Join(err, a.err)
}

func (a *Agent) closeSockets() {
	for _, fd := range append([]int{a.wake, a.out}, a.guards...) {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	for _, e := range a.ears {
		unix.Close(e.fd)
	}
}

// listen reports what the sockets see until Close.
func (a *Agent) listen() {
	defer close(a.done)
	wait := []unix.PollFd{{Fd: int32(a.wake), Events: unix.POLLIN}}
	for _, e := range a.ears {
		wait = append(wait, unix.PollFd{Fd: int32(e.fd), Events: unix.POLLIN})
	}
	packet := make([]byte, maxSize+1)
	for {
		if _, err := unix.Poll(wait, -1); err != nil && !errors.Is(err, unix.EINTR) {
			a.err = fmt.Errorf("wait for probes: %w", err)
			return
		}
		if wait[0].Revents != 0 {
			return
		}
		// The packet socket is read first, and nothing is reported before the others are read: what passed it has reached them by then.
		var seen []Sighting
		for _, e := range a.ears {
			more, err := a.drain(e, packet)
			if err != nil {
				a.err = err
				return
			}
			seen = append(seen, more...)
		}
		for _, s := range seen {
			a.sighting(s)
		}
	}
}

// drain returns what a socket has seen by now.
func (a *Agent) drain(e ear, packet []byte) ([]Sighting, error) {
	const most = 1 << 12 // so that a flood does not keep the others waiting
	var all []Sighting
	for range most {
		n, from, err := unix.Recvfrom(e.fd, packet, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return all, nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENOBUFS):
			continue // a device went down; the socket goes on
		case err != nil:
			return all, fmt.Errorf("read probes: %w", err)
		}
		if s, ok := a.see(e, packet[:n], from); ok {
			s.At = time.Now()
			all = append(all, s)
		}
	}
	return all, nil
}

// see reads a packet that a socket got.
func (a *Agent) see(e ear, packet []byte, from unix.Sockaddr) (Sighting, bool) {
	if e.protocol != 0 {
		s, ok := readTransport(packet, e.protocol)
		s.Level = e.level
		return s, ok
	}
	level, device := e.level, ""
	if link, ok := from.(*unix.SockaddrLinklayer); ok {
		name, known := a.devices[link.Ifindex]
		if !known {
			return Sighting{}, false // loopback, or a device that has come since
		}
		device = name
		if link.Pkttype == unix.PACKET_OUTGOING {
			level = LevelLeft
		}
	}
	s, ok := Read(packet)
	s.Level, s.Device = level, device
	return s, ok
}

package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// hop is where frames to an address go.
type hop struct {
	device int
	mac    net.HardwareAddr
}

// Send sends probes one after the other. It goes on after one that can't be sent, and returns an error that names the
// addresses of all of these.
func (a *Agent) Send(ctx context.Context, probes ...Probe) error {
	var errs []error
	for _, p := range probes {
		if err := a.send(ctx, p); err != nil {
			errs = append(errs, fmt.Errorf("probe from %v to %v: %w", p.Source.Addr(), p.Destination.Addr(), err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (a *Agent) send(ctx context.Context, p Probe) error {
	packet, err := Build(p)
	if err != nil {
		return err
	}
	to := p.Destination.Addr()
	if p.NextHop.IsValid() {
		to = p.NextHop
	}
	h, err := a.hopTo(ctx, to)
	if err != nil {
		return err
	}
	kind := uint16(unix.ETH_P_IP)
	if to.Is6() {
		kind = unix.ETH_P_IPV6
	}
	address := &unix.SockaddrLinklayer{Protocol: networkOrder(kind), Ifindex: h.device, Halen: uint8(len(h.mac))}
	copy(address.Addr[:], h.mac)
	if err := unix.Sendto(a.out, packet, 0, address); err != nil {
		return fmt.Errorf("send %d bytes: %w", len(packet), err)
	}
	return nil
}

// resolving is how long a neighbour may take to say who it is, and how often that is looked for.
const resolving, every = 3 * time.Second, 20 * time.Millisecond

// failedFor is how long a neighbour that did not say who it is is not asked again.
const failedFor = 10 * time.Second

// failure is why there is no way to an address.
type failure struct {
	err error
	at  time.Time
}

// hopTo returns where frames to an address go, by the route and the neighbours of the namespace.
func (a *Agent) hopTo(ctx context.Context, to netip.Addr) (hop, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h, ok := a.hops[to]; ok {
		return h, nil
	}
	if f, ok := a.failed[to]; ok && time.Since(f.at) < failedFor {
		return hop{}, f.err
	}
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, resolving)
	defer cancel()
	for asked := false; ; asked = true {
		var h hop
		var gateway netip.Addr
		err := a.enter.Do(func() (err error) {
			h, gateway, err = findHop(to)
			return err
		})
		if err != nil {
			return hop{}, err
		}
		if h.mac != nil {
			a.hops[to] = h
			return h, nil
		}
		if !asked {
			if err := a.ask(ctx, gateway); err != nil {
				return hop{}, err
			}
		}
		select {
		case <-ctx.Done():
			err := fmt.Errorf("find link-layer address of %v: %w", gateway, ctx.Err())
			if parent.Err() == nil {
				a.failed[to] = failure{err, time.Now()}
			}
			return hop{}, err
		case <-time.After(every):
		}
	}
}

// findHop looks up the route to an address, and the neighbour that it leads to, whose address is nil if it is not known yet.
func findHop(to netip.Addr) (hop, netip.Addr, error) {
	routes, err := netlink.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		return hop{}, to, fmt.Errorf("find route to %v: %w", to, err)
	}
	h, gateway := hop{device: routes[0].LinkIndex}, to
	if via := routes[0].Gw; via != nil {
		gateway = addressOf(via)
	}
	link, err := netlink.LinkByIndex(h.device)
	if err != nil {
		return hop{}, gateway, fmt.Errorf("find route to %v: %w", to, err)
	}
	if routes[0].Type == unix.RTN_LOCAL || link.Attrs().Flags&net.FlagLoopback != 0 {
		return hop{}, gateway, fmt.Errorf("find route to %v: it is an address of this machine", to)
	}
	if len(link.Attrs().HardwareAddr) == 0 {
		h.mac = net.HardwareAddr{} // a device without link-layer addresses
		return h, gateway, nil
	}
	family := unix.AF_INET
	if to.Is6() {
		family = unix.AF_INET6
	}
	neighbours, err := netlink.NeighList(h.device, family)
	if err != nil {
		return hop{}, gateway, fmt.Errorf("list neighbours: %w", err)
	}
	const unusable = netlink.NUD_INCOMPLETE | netlink.NUD_FAILED
	for _, n := range neighbours {
		if addressOf(n.IP) == gateway && n.State&unusable == 0 && len(n.HardwareAddr) > 0 {
			h.mac = n.HardwareAddr
		}
	}
	return h, gateway, nil
}

// ask sends a datagram by an ordinary socket, so that the kernel finds out the neighbour's link-layer address.
func (a *Agent) ask(ctx context.Context, neighbour netip.Addr) error {
	conn, err := workload.Dialer{Enter: a.enter}.Dial(ctx, "udp", netip.AddrPortFrom(neighbour, ControlPort), nil)
	if err != nil {
		return fmt.Errorf("ask for link-layer address of %v: %w", neighbour, err)
	}
	defer conn.Close()
	_, err = conn.Write([]byte("dsrlab\n"))
	if err != nil && !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("ask for link-layer address of %v: %w", neighbour, err)
	}
	return nil
}

// Guard keeps the kernel from answering probes of some ports: from refusing TCP with a reset, and UDP with an ICMP error. It accepts
// nothing. A port that is in use stays as it is.
func (a *Agent) Guard(_ context.Context, ports ...uint16) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.enter.Do(func() error {
		for _, port := range ports {
			for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
				if err := a.guard(kind, port); err != nil && !errors.Is(err, unix.EADDRINUSE) {
					return fmt.Errorf("guard port %d: %w", port, err)
				}
			}
		}
		return nil
	})
}

// guard opens a socket on a port of all addresses whose filter accepts nothing.
func (a *Agent) guard(kind int, port uint16) error {
	var at unix.Sockaddr = &unix.SockaddrInet6{Port: int(port)}
	fd, err := unix.Socket(unix.AF_INET6, kind|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		at = &unix.SockaddrInet4{Port: int(port)}
		fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return err
	}
	filter := []unix.SockFilter{give(refuse)}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &filter[0]})
	if _, six := at.(*unix.SockaddrInet6); six && err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if err == nil {
		err = unix.Bind(fd, at)
	}
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	a.guards = append(a.guards, fd)
	return nil
}

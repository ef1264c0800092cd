package workload

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The range that Linux takes source ports from by default (net.ipv4.ip_local_port_range).
const (
	firstPort = 32768
	lastPort  = 60999
)

// Ports gives sockets distinct source ports, one after the other from a random start: a port is reused only after all
// have been used. The kernel's own choice may repeat earlier; a client's address and port that reaches one pod through two frontends
// within a flow's lifetime is ambiguous to a data path that keeps the client's address.
//
// It is safe for concurrent use.
type Ports struct{ next atomic.Uint32 }

// NewPorts returns Ports that begin at a random port of the range.
func NewPorts() *Ports {
	p := &Ports{}
	p.next.Store(rand.Uint32N(lastPort - firstPort + 1))
	return p
}

// each calls dial with ports until it finds a free one.
func (p *Ports) each(source, target netip.Addr, dial func(from netip.AddrPort) (net.Conn, error)) (net.Conn, error) {
	if !source.IsValid() {
		source = netip.IPv4Unspecified()
		if target.Is6() && !target.Is4In6() {
			source = netip.IPv6Unspecified()
		}
	}
	var err error
	for range lastPort - firstPort + 1 {
		var conn net.Conn
		port := firstPort + (p.next.Add(1)-1)%(lastPort-firstPort+1)
		conn, err = dial(netip.AddrPortFrom(source, uint16(port)))
		if !errors.Is(err, unix.EADDRINUSE) {
			return conn, err
		}
	}
	return nil, err
}

// Package workload holds the servers that run in pods and the clients that call them.
//
// Servers: echo (TCP, UDP and HTTP on one port: answers with the client's address), bulk (TCP: sends or receives as fast as it can and
// reports the kernel's TCP_INFO of its end) and dns (resolves whoami. to the client's address). Start runs any number of
// them in one process.
//
// The packages below this one have more, each with its report: l7proxy and tcpproxy (proxies that pass the client's address
// on in headers), application (six that need it), inference (the shapes of AI traffic; arrival schedules requests) and
// download (many slow ones, for failover). Their servers implement Server: Run serves all kinds alike.
//
// Clients: Connect (many connections or datagrams, and the addresses that the server saw), Get (HTTP) and Bulk (a timed transfer with
// payload rate and both ends' TCP_INFO). They are plain functions; command labpod wraps them for use in other processes.
//
// Everything supports IPv4 and IPv6. Addresses are never IPv4-mapped, and never names: a network has no resolver.
// All durations in JSON documents are nanoseconds, in fields that end in Ns; all rates are bits per second.
package workload

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// Enter runs f where sockets are to be opened, for example on a thread that is inside a network namespace. A socket
// always belongs to the namespace that it was opened in, so nothing else of a server or client needs to run there.
// Enter must run f before it returns, must return f's error, and may be called from many goroutines at once. A nil Enter
// means here.
type Enter func(f func() error) error

// Do runs f inside, or here if e is nil.
func (e Enter) Do(f func() error) error {
	if e == nil {
		return f()
	}
	return e(f)
}

// Kind names a server.
type Kind string

// The servers.
const (
	KindEcho Kind = "echo" // TCP, UDP and HTTP: answers with the client's address
	KindBulk Kind = "bulk" // TCP: sends or receives bytes as fast as it can
	KindDNS  Kind = "dns"  // TCP and UDP: resolves whoami. to the client's address
)

// ServerSpec is one server to start.
type ServerSpec struct {
	Kind Kind
	// Listen is the address to listen on. Without an address it is [::], which serves IPv4 too; port 0 lets the kernel choose.
	Listen netip.AddrPort
	// ProxyProtocol is for echo alone: EchoOptions.
	ProxyProtocol proxyproto.Policy
}

// ParseListen parses PORT, ADDR:PORT or [ADDR]:PORT.
func ParseListen(s string) (netip.AddrPort, error) {
	if port, err := strconv.ParseUint(s, 10, 16); err == nil {
		return netip.AddrPortFrom(netip.Addr{}, uint16(port)), nil
	}
	listen, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("parse listening address: found %q (want PORT, ADDR:PORT or [ADDR6]:PORT)", s)
	}
	return unmap(listen), nil
}

func (s ServerSpec) validate() error {
	if !slices.Contains([]Kind{KindEcho, KindBulk, KindDNS}, s.Kind) {
		return fmt.Errorf("start server: unknown kind %q (want %s, %s or %s)", s.Kind, KindEcho, KindBulk, KindDNS)
	}
	if s.Kind != KindEcho && s.ProxyProtocol.Require {
		return fmt.Errorf("start %s server: the PROXY protocol is not supported", s.Kind)
	}
	return nil
}

// ParseTarget parses ADDR:PORT or [ADDR6]:PORT of a server.
func ParseTarget(s string) (netip.AddrPort, error) {
	target, err := netip.ParseAddrPort(s)
	switch {
	case err != nil && !strings.Contains(s, ":"):
		return netip.AddrPort{}, fmt.Errorf("parse target %q: missing port (want ADDR:PORT or [ADDR6]:PORT)", s)
	case err != nil:
		return netip.AddrPort{}, fmt.Errorf("parse target: found %q (want ADDR:PORT or [ADDR6]:PORT, numeric)", s)
	}
	return unmap(target), ValidateTarget(target)
}

// ValidateTarget returns an error if a target can't be called.
func ValidateTarget(target netip.AddrPort) error {
	switch {
	case !target.IsValid():
		return errors.New("missing target (want ADDR:PORT or [ADDR6]:PORT)")
	case target.Port() == 0:
		return fmt.Errorf("target %s: found port 0 (want 1 to 65535)", target)
	case target.Addr().IsUnspecified():
		return fmt.Errorf("target %s: found the unspecified address (want a server's)", target)
	}
	return nil
}

// unmap turns an IPv4-mapped IPv6 address into the IPv4 address that it stands for.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

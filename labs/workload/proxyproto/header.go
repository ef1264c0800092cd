// Package proxyproto reads and writes PROXY protocol headers, versions 1 and 2. In them a proxy tells its upstream, ahead
// of the client's first byte, who the client is (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
//
// The encoding is that of github.com/pires/go-proxyproto; this package adds whom to trust, how long to wait, and
// the reason why a connection is refused.
package proxyproto

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Version is a version of the protocol.
type Version int

// The versions. The zero value is no header at all.
const (
	None Version = 0
	V1   Version = 1 // a line of text
	V2   Version = 2 // binary
)

// Command is whose connection it is.
type Command string

// The commands. Version 1 has no LOCAL; its UNKNOWN, which means the same to a receiver, is used instead.
const (
	Proxy Command = "proxy" // the client's: the header has its address
	Local Command = "local" // the proxy's own, such as a health check: the socket's address is the right one
)

// Header is the content of a PROXY protocol header.
type Header struct {
	Version Version `json:"version"`
	Command Command `json:"command"`
	// Source is the client and Destination the address it called, as the proxy saw them; both are zero if Command is Local.
	Source      netip.AddrPort `json:"source,omitzero"`
	Destination netip.AddrPort `json:"destination,omitzero"`
}

// String formats version, command and addresses as text.
func (h Header) String() string {
	if h.Command == Local {
		return fmt.Sprintf("PROXY protocol v%d, local", h.Version)
	}
	return fmt.Sprintf("PROXY protocol v%d, %s to %s", h.Version, h.Source, h.Destination)
}

// Append appends the header's bytes to b. An error means that the header can't be written: an unknown version, or
// addresses that are missing or of different IP versions.
func (h Header) Append(b []byte) ([]byte, error) {
	if h.Version != V1 && h.Version != V2 {
		return nil, fmt.Errorf("write PROXY header: version: found %d (want 1 or 2)", h.Version)
	}
	wire := proxyproto.Header{Version: byte(h.Version), Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	switch {
	case h.Command == Local:
	case h.Command != Proxy:
		return nil, fmt.Errorf("write PROXY header: command: found %q (want %s or %s)", h.Command, Proxy, Local)
	case !h.Source.IsValid() || !h.Destination.IsValid():
		return nil, errors.New("write PROXY header: missing source or destination")
	case h.Source.Addr().Is4() != h.Destination.Addr().Is4():
		return nil, fmt.Errorf("write PROXY header: source, destination: found %s, %s (want the same IP version)", h.Source, h.Destination)
	default:
		wire.Command, wire.TransportProtocol = proxyproto.PROXY, proxyproto.TCPv6
		if h.Source.Addr().Is4() {
			wire.TransportProtocol = proxyproto.TCPv4
		}
		wire.SourceAddr = net.TCPAddrFromAddrPort(h.Source)
		wire.DestinationAddr = net.TCPAddrFromAddrPort(h.Destination)
	}
	header, err := wire.Format()
	if err != nil {
		return nil, fmt.Errorf("write PROXY header: %w", err)
	}
	return append(b, header...), nil
}

// Read reads a header from reader and leaves what follows in it. It returns a *Refusal for what is not a header, for one that
// violates the specification, for a version 1 line that arrived in pieces, and for a transport other than TCP.
func Read(reader *bufio.Reader) (Header, error) {
	wire, err := proxyproto.Read(reader)
	if err != nil {
		return Header{}, refusalOf(err)
	}
	h := Header{Version: Version(wire.Version), Command: Local}
	if wire.Command.IsLocal() {
		return h, nil
	}
	source, sourceOK := wire.SourceAddr.(*net.TCPAddr)
	destination, destinationOK := wire.DestinationAddr.(*net.TCPAddr)
	if !sourceOK || !destinationOK {
		return Header{}, &Refusal{Malformed, fmt.Errorf("transport: found 0x%02x (want TCP)", byte(wire.TransportProtocol))}
	}
	h.Command = Proxy
	h.Source, h.Destination = unmap(source.AddrPort()), unmap(destination.AddrPort())
	return h, nil
}

// Signature returns the version of the header that b begins with; None if it begins with something else or is too short.
func Signature(b []byte) Version {
	switch {
	case bytes.HasPrefix(b, append(bytes.Clone(proxyproto.SIGV1), ' ')):
		return V1
	case bytes.HasPrefix(b, proxyproto.SIGV2):
		return V2
	}
	return None
}

// ParseVersion parses v1, v2, or none for no header.
func ParseVersion(s string) (Version, error) {
	switch s {
	case "none":
		return None, nil
	case "v1":
		return V1, nil
	case "v2":
		return V2, nil
	}
	return None, fmt.Errorf("PROXY protocol version: found %q (want none, v1 or v2)", s)
}

// unmap turns an IPv4-mapped IPv6 address into the IPv4 address that it stands for.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Package proxies runs the proxies of labs: built-in ones, nginx or HAProxy, each on a node of the
// network and with a generated configuration.
//
// With every engine, a proxy does one of two things. An HTTP proxy appends the peer of a request to X-Forwarded-For and
// to Forwarded, and trusts what is there already, which is the default of most proxies. A TCP proxy sends a PROXY
// header before each stream.
package proxies

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// Engine is the program that implements a proxy.
type Engine string

// The engines. The empty string stands for Builtin.
const (
	Builtin Engine = "builtin" // a goroutine of this process
	Nginx   Engine = "nginx"
	HAProxy Engine = "haproxy"
)

// ParseEngine parses an engine's name; the empty string is Builtin.
func ParseEngine(s string) (Engine, error) {
	all := []Engine{Builtin, Nginx, HAProxy}
	if s == "" {
		return Builtin, nil
	}
	if !slices.Contains(all, Engine(s)) {
		return "", fmt.Errorf("unknown engine %q (want builtin, nginx or haproxy)", s)
	}
	return Engine(s), nil
}

// Proxy is one proxy.
type Proxy struct {
	// Name of its configuration and log, unique in the network.
	Name string
	// Node is the node that it runs on, and Listen the node's address and a port that is free there. It serves clients of
	// that address family.
	Node   string
	Listen netip.AddrPort
	// Upstream is where connections or requests are forwarded to.
	Upstream netip.AddrPort
	// Send makes it a TCP proxy that sends PROXY headers of this version; proxyproto.None makes it an HTTP proxy.
	Send proxyproto.Version
}

// Validate returns every error in the proxy, joined.
func (p *Proxy) Validate() error {
	var errs []error
	if p.Name == "" || p.Node == "" {
		errs = append(errs, errors.New("missing name or node"))
	}
	if !p.Listen.IsValid() || p.Listen.Port() == 0 {
		errs = append(errs, fmt.Errorf("listen: found %v (want an address and a port)", p.Listen))
	}
	return errors.Join(append(errs, workload.ValidateTarget(p.Upstream))...)
}

// UnsupportedError reports that an engine can't be used on this machine.
type UnsupportedError struct {
	Engine Engine
	Reason string // what is missing
	How    string // how to get it, or what to use instead
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("proxy %s: %s: %s", e.Engine, e.Reason, e.How)
}

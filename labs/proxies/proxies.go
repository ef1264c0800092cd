// Package proxies runs the proxies of labs: those that are built in, or real ones, nginx and HAProxy, each on a machine of the
// lab and with a configuration that is made for it.
//
// Whatever the engine, a proxy does one of two things. An HTTP proxy appends whom it got a request from to X-Forwarded-For and
// to Forwarded, and believes all that is there already, as most do that nobody has told better. A TCP proxy sends a PROXY
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

// Engine is the program that a proxy is.
type Engine string

// The engines. The empty one is Builtin.
const (
	Builtin Engine = "builtin" // in this process
	Nginx   Engine = "nginx"
	HAProxy Engine = "haproxy"
)

// ParseEngine reads an engine's name; the empty one is Builtin.
func ParseEngine(s string) (Engine, error) {
	all := []Engine{Builtin, Nginx, HAProxy}
	if s == "" {
		return Builtin, nil
	}
	if !slices.Contains(all, Engine(s)) {
		return "", fmt.Errorf("%q is none of builtin, nginx, haproxy", s)
	}
	return Engine(s), nil
}

// Proxy is one proxy.
type Proxy struct {
	// Name of its configuration and log, unique in its lab.
	Name string
	// Place is the node that it runs on, and Listen the node's address and a port that is free there. It serves clients of
	// that address family.
	Place  string
	Listen netip.AddrPort
	// Upstream gets what clients send.
	Upstream netip.AddrPort
	// Send makes it a TCP proxy that sends PROXY headers of this version; proxyproto.None makes it an HTTP proxy.
	Send proxyproto.Version
}

// Validate says all that is wrong with the proxy.
func (p *Proxy) Validate() error {
	var errs []error
	if p.Name == "" || p.Place == "" {
		errs = append(errs, errors.New("name and place must be given"))
	}
	if !p.Listen.IsValid() || p.Listen.Port() == 0 {
		errs = append(errs, fmt.Errorf("listen %v: want an address and a port", p.Listen))
	}
	return errors.Join(append(errs, workload.ValidateTarget(p.Upstream))...)
}

// UnsupportedError says that a lab can't be run with an engine on this machine.
type UnsupportedError struct {
	Engine Engine
	Reason string // what is missing
	How    string // to get it, or what to take instead
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("proxy %s: %s: %s", e.Engine, e.Reason, e.How)
}

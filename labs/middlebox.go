package labs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/labs/proxies"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// proxyPort is where proxies listen, on machines that have nothing else.
const proxyPort = 8000

// proxied is a step that sends requests through proxies of Runner's engine.
type proxied interface {
	// sends are the versions of PROXY headers that the proxies must send, in order; proxyproto.None is an HTTP proxy.
	sends() []proxyproto.Version
}

// engine returns the engine of the steps' proxies.
func (r *Runner) engine() proxies.Engine {
	if r.Proxy == "" {
		return proxies.Builtin
	}
	return r.Proxy
}

// checkProxies returns an error if the lab's proxies can't use the runner's engine, before anything is built. used reports whether
// the lab has any.
func (r *Runner) checkProxies(lab *Lab) (used bool, err error) {
	for i := range lab.Spec.Phases {
		for j := range lab.Spec.Phases[i].Steps {
			_, a, err := lab.Spec.Phases[i].Steps[j].action()
			if err != nil {
				return used, err
			}
			p, ok := a.(proxied)
			if !ok {
				continue
			}
			used = true
			// The newest version first: a module that sends only an older one is of no use.
			for _, version := range slices.Backward(p.sends()) {
				if err := proxies.Check(r.Proxy, version); err != nil {
					return used, err
				}
			}
		}
	}
	return used, nil
}

// isUnsupported reports whether an error means that the machine lacks something, rather than that something failed.
func isUnsupported(err error) bool {
	var lacking *proxies.UnsupportedError
	var site *UnsupportedError
	return testbed.IsMissing(err) || errors.As(err, &lacking) || errors.As(err, &site)
}

// chain starts a proxy on each of some nodes, the first of which clients call, and returns the proxies' addresses.
func chain(ctx context.Context, t *trial.Attempt, through []string, upstream netip.AddrPort, send proxyproto.Version) ([]netip.AddrPort, *proxies.Running, error) {
	addresses := make([]netip.AddrPort, len(through))
	for i, node := range through {
		at, err := t.Testbed.AddressOf(node, upstream.Addr().Is4())
		if err != nil {
			return nil, nil, err
		}
		addresses[i] = netip.AddrPortFrom(at, proxyPort)
	}
	all := make([]proxies.Proxy, len(through))
	for i, node := range through {
		all[i] = proxies.Proxy{Name: "proxy-on-" + node, Node: node, Listen: addresses[i], Upstream: upstream, Send: send}
		if i+1 < len(through) {
			all[i].Upstream = addresses[i+1]
		}
	}
	running, err := proxies.Start(ctx, t.Testbed.Network(), t.Proxy, all...)
	return addresses, running, err
}

// isClusterNode reports whether an address is a node's of the cluster.
func isClusterNode(t *trial.Attempt, a netip.Addr) bool {
	for _, n := range t.Testbed.ClusterNodes() {
		if n.AddressFor(a) == a {
			return true
		}
	}
	return false
}

// checkNode returns an error if no node is given.
func checkNode(field, node string) []error {
	if node == "" {
		return []error{fmt.Errorf("%s: missing (want a node)", field)}
	}
	return nil
}

// checkForge returns an error if an address can't be forged in a header.
func checkForge(forge string) []error {
	if a, err := netip.ParseAddr(forge); err != nil || !a.Is4() {
		return []error{fmt.Errorf("forge: found %q (want an IPv4 address)", forge)}
	}
	return nil
}

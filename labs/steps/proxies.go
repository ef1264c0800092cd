package steps

import (
	"context"
	"net/netip"

	"github.com/dsrlab/dsrlab/labs/proxies"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// proxyPort is where proxies listen, on machines that have nothing else.
const proxyPort = 8000

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

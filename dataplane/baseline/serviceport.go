package baseline

import (
	"net/netip"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// servicePort is one port of a service in one address family, as one node sees it: what kube-proxy makes chains for.
type servicePort struct {
	service  string
	portName string
	protocol services.Protocol
	port     uint16

	clusterIPs []netip.Addr
	external   []netip.Addr // external addresses and VIPs
	vips       []netip.Addr // those of external that source ranges hold for
	nodePort   uint16

	externalLocal bool // externalTrafficPolicy
	internalLocal bool // internalTrafficPolicy
	sourceRanges  []netip.Prefix
	affinity      time.Duration

	cluster []netip.AddrPort // endpoints that policy Cluster chooses among
	local   []netip.AddrPort // endpoints that policy Local chooses among, on this node
}

// servicePorts groups the frontends of a family, in the order of names.
func (c *Config) servicePorts(f family) []*servicePort {
	type key struct {
		service, portName string
		protocol          services.Protocol
	}
	byKey := map[key]*servicePort{}
	var all []*servicePort
	for i := range c.Tables.Frontends {
		frontend := &c.Tables.Frontends[i]
		if !f.has(frontend.Address) {
			continue
		}
		k := key{frontend.Service, frontend.PortName, frontend.Protocol}
		port := byKey[k]
		if port == nil {
			port = &servicePort{service: frontend.Service, portName: frontend.PortName, protocol: frontend.Protocol}
			byKey[k] = port
			all = append(all, port)
		}
		port.add(frontend)
		port.addEndpoints(c, frontend)
	}
	slices.SortFunc(all, func(a, b *servicePort) int { return slices.Compare(a.order(), b.order()) })
	return all
}

func (p *servicePort) order() []string { return []string{p.service, p.portName, p.protocol.String()} }

// add takes over one frontend of the port.
func (p *servicePort) add(f *services.Frontend) {
	p.affinity = f.Affinity
	switch f.Kind {
	case services.KindClusterIP:
		p.clusterIPs = append(p.clusterIPs, f.Address)
		p.port, p.internalLocal = f.Port, f.LocalOnly
		return
	case services.KindNodePort:
		p.nodePort = f.Port
	case services.KindLoadBalancer:
		p.external = append(p.external, f.Address)
		p.vips = append(p.vips, f.Address)
		p.port, p.sourceRanges = f.Port, f.SourceRanges
	case services.KindExternalIP:
		p.external = append(p.external, f.Address)
		p.port = f.Port
	}
	p.externalLocal = f.LocalOnly
}

// addEndpoints takes over the endpoints of a frontend. Frontends of one port agree on them, but for policy: what a frontend of
// policy Local has is what all nodes choose; it does for policy Cluster only where no frontend of that policy tells better.
func (p *servicePort) addEndpoints(c *Config, f *services.Frontend) {
	all := c.endpoints(f.Backends)
	if !f.LocalOnly {
		p.cluster = c.endpoints(c.Tables.SelectableInside(f, c.Node)) // by hints, too
		if p.local == nil {
			p.local = c.endpoints(local(c, f))
		}
		return
	}
	if p.cluster == nil {
		p.cluster = all
	}
	p.local = c.endpoints(c.Tables.Selectable(f, c.Node))
}

// local are the backends of f on this node.
func local(c *Config, f *services.Frontend) []int {
	return slices.DeleteFunc(slices.Clone(f.Backends), func(i int) bool { return c.Tables.Backends[i].Node != c.Node })
}

func (c *Config) endpoints(backends []int) []netip.AddrPort {
	endpoints := make([]netip.AddrPort, len(backends))
	for i, index := range backends {
		endpoints[i] = c.Tables.Backends[index].AddrPort()
	}
	return endpoints
}

// externallyAccessible reports whether there is any address for clients outside the cluster.
func (p *servicePort) externallyAccessible() bool { return len(p.external) > 0 || p.nodePort != 0 }

package kind

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/topologies"
)

// seenNode is a node as the cluster made it.
type seenNode struct {
	Address netip.Addr
	PodCIDR netip.Prefix
	MAC     topologies.HardwareAddr
}

// seenPod is a pod as the cluster made it.
type seenPod struct {
	Address      netip.Addr
	MAC, HostMAC topologies.HardwareAddr
	HostDevice   string
}

// seen is what became of a plan's nodes and pods, by their names, and the subnet that the engine gave the nodes' network.
type seen struct {
	subnet netip.Prefix
	nodes  map[string]seenNode
	pods   map[string]seenPod
	// clusterIPs are those of services, by their names.
	clusterIPs map[string][]string
}

// readdressed is the plan with the addresses that a cluster has given. The fabric and the machines outside of the cluster that are
// in the nodes' network get the subnet's last addresses: the engine gives from the first on. All else stays: VIPs, NodePorts,
// links, the other networks. The plan itself is not changed. It is pure.
func readdressed(plan *topologies.Plan, s seen) (*topologies.Plan, error) {
	p, err := clone(plan)
	if err != nil {
		return nil, err
	}
	r := readdressing{addresses: make(map[netip.Addr]netip.Addr), prefixes: make(map[netip.Prefix]netip.Prefix)}
	name := networkOf(p)
	free := last(s.subnet)
	for i := range p.Networks {
		if n := &p.Networks[i]; n.Name == name {
			r.prefixes[n.Subnets[0]] = s.subnet
			r.addresses[n.Gateways[0]] = free
		}
	}
	for _, n := range p.Nodes {
		made, ok := s.nodes[n.Name]
		switch {
		case ok:
			r.addresses[n.Addresses[0].Addr()] = made.Address
			r.prefixes[n.PodCIDRs[0]] = made.PodCIDR
		case n.Network == name:
			free = free.Prev()
			r.addresses[n.Addresses[0].Addr()] = free
		}
	}
	for _, pod := range p.Pods {
		if made, ok := s.pods[pod.Name]; ok {
			r.addresses[pod.Addresses[0]] = made.Address
		}
	}
	if err := s.disjoint(p, name); err != nil {
		return nil, err
	}
	r.plan(p, s, name)
	return p, nil
}

// disjoint returns an error for a network of the plan that overlaps a range of the cluster.
func (s seen) disjoint(p *topologies.Plan, network string) error {
	for _, n := range p.Networks {
		for _, other := range []netip.Prefix{s.subnet, PodCIDR, ServiceCIDR} {
			if n.Name != network && n.Subnets[0].Overlaps(other) {
				return fmt.Errorf("network %s, %s, overlaps %s of the cluster: give it another subnet", n.Name, n.Subnets[0], other)
			}
		}
	}
	return nil
}

// last is the last usable address of a subnet.
func last(subnet netip.Prefix) netip.Addr {
	b := subnet.Masked().Addr().As4()
	for i := subnet.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b).Prev()
}

func clone(plan *topologies.Plan) (*topologies.Plan, error) {
	document, err := json.Marshal(plan)
	if err != nil {
		return nil, err
	}
	p := &topologies.Plan{}
	return p, json.Unmarshal(document, p)
}

// readdressing maps a plan's addresses and prefixes to those of the cluster.
type readdressing struct {
	addresses map[netip.Addr]netip.Addr
	prefixes  map[netip.Prefix]netip.Prefix
}

func (r readdressing) address(a netip.Addr) netip.Addr {
	if to, ok := r.addresses[a]; ok {
		return to
	}
	return a
}

func (r readdressing) prefix(p netip.Prefix) netip.Prefix {
	if to, ok := r.prefixes[p]; ok {
		return to
	}
	return p
}

func (r readdressing) route(in topologies.Route) topologies.Route {
	out := topologies.Route{Destination: r.prefix(in.Destination), Via: slices.Clone(in.Via)}
	for i := range out.Via {
		out.Via[i] = r.address(out.Via[i])
	}
	return out
}

func (r readdressing) plan(p *topologies.Plan, s seen, network string) {
	for i := range p.Networks {
		n := &p.Networks[i]
		n.Subnets[0], n.Gateways[0] = r.prefix(n.Subnets[0]), r.address(n.Gateways[0])
	}
	macs := make(map[netip.Addr]topologies.HardwareAddr) // of those that are other ones
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if made, ok := s.nodes[n.Name]; ok {
			n.MAC, n.PodCIDRs[0] = made.MAC, made.PodCIDR
			macs[made.Address] = made.MAC
		}
		bits := n.Addresses[0].Bits()
		if n.Network == network {
			bits = s.subnet.Bits()
		}
		n.Addresses[0], n.Gateways[0] = netip.PrefixFrom(r.address(n.Addresses[0].Addr()), bits), r.address(n.Gateways[0])
	}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		for j := range n.Routes {
			n.Routes[j] = r.route(n.Routes[j])
		}
		for j := range n.Neighbours {
			to := &n.Neighbours[j]
			to.Address = r.address(to.Address)
			if mac, ok := macs[to.Address]; ok {
				to.MAC = mac
			}
		}
	}
	for i := range p.FabricRoutes {
		p.FabricRoutes[i] = r.route(p.FabricRoutes[i])
	}
	for i := range p.Pods {
		pod := &p.Pods[i]
		if made, ok := s.pods[pod.Name]; ok {
			pod.Addresses[0], pod.MAC, pod.HostMAC, pod.HostDevice = made.Address, made.MAC, made.HostMAC, made.HostDevice
		}
	}
	for i := range p.Services {
		if ips := s.clusterIPs[p.Services[i].Name]; len(ips) > 0 {
			p.Services[i].Spec.ClusterIP, p.Services[i].Spec.ClusterIPs = ips[0], ips
		}
	}
	for i := range p.EndpointSlices {
		for j := range p.EndpointSlices[i].Endpoints {
			addresses := p.EndpointSlices[i].Endpoints[j].Addresses
			for k, text := range addresses {
				if a, err := netip.ParseAddr(text); err == nil {
					addresses[k] = r.address(a).String()
				}
			}
		}
	}
}

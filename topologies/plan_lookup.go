package topologies

import (
	"net/netip"
	"strconv"
)

// NetworkOf is the network that a node is in; nil if the plan has none of that name.
func (p *Plan) NetworkOf(n *Node) *Network {
	for i := range p.Networks {
		if p.Networks[i].Name == n.Network {
			return &p.Networks[i]
		}
	}
	return nil
}

// MTUOf is the MTU of a node's wire and of its pods' wires, in bytes.
func (p *Plan) MTUOf(n *Node) int {
	if network := p.NetworkOf(n); network != nil {
		return p.mtuOf(network)
	}
	return p.MTU
}

// mtuOf is the MTU of a network, which a plan may leave open that was stored before networks had one.
func (p *Plan) mtuOf(n *Network) int {
	if n.MTU != 0 {
		return n.MTU
	}
	return p.MTU
}

// Subnets are the network's one or two subnets, the primary one first.
func (n *Network) Subnets() []netip.Prefix { return validPrefixes(n.Subnet, n.SecondarySubnet) }

// Gateways are the fabric's addresses in the network, in the order of Subnets.
func (n *Network) Gateways() []netip.Addr { return validAddrs(n.Gateway, n.SecondaryGateway) }

// Addresses are the node's one or two addresses, the primary one first, each with the length of its subnet.
func (n *Node) Addresses() []netip.Prefix { return validPrefixes(n.Address, n.SecondaryAddress) }

// Gateways are the fabric's addresses in the node's subnets, in the order of Addresses.
func (n *Node) Gateways() []netip.Addr { return validAddrs(n.Gateway, n.SecondaryGateway) }

// PodCIDRs are the node's pod CIDRs, the primary one first; a client has none.
func (n *Node) PodCIDRs() []netip.Prefix { return validPrefixes(n.PodCIDR, n.SecondaryPodCIDR) }

// AddressFor is the node's address of the same IP version as a peer's; not valid if it has none.
func (n *Node) AddressFor(peer netip.Addr) netip.Addr { return like(addrsOf(n.Addresses()), peer) }

// Addresses are the pod's one or two addresses, the primary one first.
func (p *Pod) Addresses() []netip.Addr { return validAddrs(p.Address, p.SecondaryAddress) }

// Serve is the command that serves the pod's workload, by the workload binary.
func (p *Pod) Serve(labPod string) []string {
	argv := []string{labPod, "serve"}
	for _, w := range p.Workload {
		argv = append(argv, "--"+string(w.Kind), strconv.Itoa(int(w.Port)))
	}
	return argv
}

// AddressFor is the pod's address of the same IP version as a peer's; not valid if it has none.
func (p *Pod) AddressFor(peer netip.Addr) netip.Addr { return like(p.Addresses(), peer) }

func validPrefixes(primary, secondary netip.Prefix) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range [...]netip.Prefix{primary, secondary} {
		if p.IsValid() {
			all = append(all, p)
		}
	}
	return all
}

func validAddrs(primary, secondary netip.Addr) []netip.Addr {
	var all []netip.Addr
	for _, a := range [...]netip.Addr{primary, secondary} {
		if a.IsValid() {
			all = append(all, a)
		}
	}
	return all
}

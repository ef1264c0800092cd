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
		return network.MTU
	}
	return p.MTU
}

// AddressFor is the node's address of the same IP version as a peer's; not valid if it has none.
func (n *Node) AddressFor(peer netip.Addr) netip.Addr { return like(addrsOf(n.Addresses), peer) }

// AddressFor is the pod's address of the same IP version as a peer's; not valid if it has none.
func (p *Pod) AddressFor(peer netip.Addr) netip.Addr { return like(p.Addresses, peer) }

// Serve is the command that serves the pod's workload, by the workload binary.
func (p *Pod) Serve(labPod string) []string {
	argv := []string{labPod, "serve"}
	for _, w := range p.Workload {
		argv = append(argv, "--"+string(w.Kind), strconv.Itoa(int(w.Port)))
	}
	return argv
}

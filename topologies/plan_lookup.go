package topologies

import (
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// find returns the first element of a list that a condition is true for; nil if there is none.
func find[T any](all []T, is func(*T) bool) *T {
	for i := range all {
		if is(&all[i]) {
			return &all[i]
		}
	}
	return nil
}

// Node returns the node of a name; nil if the plan has none.
func (p *Plan) Node(name string) *Node {
	return find(p.Nodes, func(n *Node) bool { return n.Name == name })
}

// NodeAt returns the node that has an address; nil if the plan has none.
func (p *Plan) NodeAt(a netip.Addr) *Node {
	return find(p.Nodes, func(n *Node) bool {
		return slices.ContainsFunc(n.Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
	})
}

// Pod returns the pod of a name; nil if the plan has none.
func (p *Plan) Pod(name string) *Pod {
	return find(p.Pods, func(pod *Pod) bool { return pod.Name == name })
}

// PodAt returns the pod that has an address; nil if the plan has none.
func (p *Plan) PodAt(a netip.Addr) *Pod {
	return find(p.Pods, func(pod *Pod) bool { return slices.Contains(pod.Addresses, a) })
}

// NodesOf returns the nodes of a role.
func (p *Plan) NodesOf(role Role) []Node {
	return slices.DeleteFunc(slices.Clone(p.Nodes), func(n Node) bool { return n.Role != role })
}

// ClusterNodes returns the LB and pod nodes.
func (p *Plan) ClusterNodes() []Node {
	return slices.DeleteFunc(slices.Clone(p.Nodes), func(n Node) bool { return n.Role.OutsideCluster() })
}

// LBNodes returns the nodes that VIPs are routed to: those of role lb, or all of the cluster where none has that role.
func (p *Plan) LBNodes() []Node {
	if lbs := p.NodesOf(RoleLB); len(lbs) > 0 {
		return lbs
	}
	return p.ClusterNodes()
}

// Service returns the service of a name; nil if the plan has none.
func (p *Plan) Service(name string) *corev1.Service {
	return find(p.Services, func(s *corev1.Service) bool { return s.Name == name })
}

// VIPs returns the VIPs of a service, the first one first; none if it is not of type LoadBalancer.
func (p *Plan) VIPs(service string) []netip.Addr {
	s := p.Service(service)
	if s == nil {
		return nil
	}
	var all []netip.Addr
	for _, ingress := range s.Status.LoadBalancer.Ingress {
		if vip, err := netip.ParseAddr(ingress.IP); err == nil {
			all = append(all, vip)
		}
	}
	return all
}

// NetworkOf is the network that a node is in; nil if the plan has none of that name.
func (p *Plan) NetworkOf(n *Node) *Network {
	return find(p.Networks, func(network *Network) bool { return network.Name == n.Network })
}

// MTUOf is the MTU of a node's wire and of its pods' wires, in bytes.
func (p *Plan) MTUOf(n *Node) int {
	if network := p.NetworkOf(n); network != nil {
		return network.MTU
	}
	return p.MTU
}

// Addrs are the node's addresses without the lengths of their subnets.
func (n *Node) Addrs() []netip.Addr { return addrsOf(n.Addresses) }

// AddressFor is the node's address of the same IP version as a peer's; not valid if it has none.
func (n *Node) AddressFor(peer netip.Addr) netip.Addr { return like(n.Addrs(), peer) }

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

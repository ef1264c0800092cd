package services

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Node is an LB node or a pod node; clients and backends outside of the cluster have none.
type Node struct {
	Name string
	// Addresses are the node's addresses of both families, at least one. The node's NodePorts are at every address. Tunnels to it
	// end at the first.
	Addresses []netip.Addr
	// Others are further addresses that the node has, such as a cloud's ExternalIP. It has no NodePorts there. Like Addresses they are
	// never VIPs.
	Others []netip.Addr
	// PodCIDRs say which endpoints are the node's where their slice names none; may be empty.
	PodCIDRs []netip.Prefix
	// Zone is the node's label topology.kubernetes.io/zone; empty where it has none.
	Zone string
}

// nodeInfo is a node whose addresses have been checked.
type nodeInfo struct {
	name      string
	addresses []netip.Addr
	others    []netip.Addr
	tunnelEnd netip.Addr
	podCIDRs  []netip.Prefix
	zone      string
}

func (p *nodeInfo) equal(other *nodeInfo) bool {
	return p.name == other.name && p.tunnelEnd == other.tunnelEnd && p.zone == other.zone &&
		slices.Equal(p.addresses, other.addresses) && slices.Equal(p.others, other.others) && slices.Equal(p.podCIDRs, other.podCIDRs)
}

// String says where a backend is.
func (p *nodeInfo) String() string {
	if p.name == "" {
		return "no node"
	}
	return "node " + p.name
}

// nodeIndex has all nodes.
type nodeIndex struct {
	ordered []*nodeInfo // by name
	byName  map[string]*nodeInfo
	// holders are the nodes that have an address, of those that have several the first by name.
	holders map[netip.Addr]*nodeInfo
	// outside stands for all that is no node of the cluster.
	outside *nodeInfo
	// zones are those of nodes that have one, by the node's name.
	zones    map[string]string
	problems []Problem
}

func indexNodes(nodes []Node) *nodeIndex {
	p := &nodeIndex{
		byName: make(map[string]*nodeInfo, len(nodes)), holders: make(map[netip.Addr]*nodeInfo, len(nodes)),
		outside: &nodeInfo{}, zones: make(map[string]string),
	}
	for i := range nodes {
		p.add(&nodes[i])
	}
	slices.SortFunc(p.ordered, func(a, b *nodeInfo) int { return cmp.Compare(a.name, b.name) })
	for _, node := range p.ordered {
		for _, address := range slices.Concat(node.addresses, node.others) {
			if p.holders[address] == nil {
				p.holders[address] = node
			}
		}
		if node.zone != "" {
			p.zones[node.name] = node.zone
		}
	}
	return p
}

func (p *nodeIndex) equal(other *nodeIndex) bool {
	return slices.EqualFunc(p.ordered, other.ordered, (*nodeInfo).equal)
}

func (p *nodeIndex) problem(node *Node, field, want, format string, args ...any) {
	p.problems = append(p.problems, Problem{Object: "node " + cmp.Or(node.Name, "without name"), Field: field, What: fmt.Sprintf(format, args...), Want: want})
}

func (p *nodeIndex) add(node *Node) {
	addresses := p.addressesOf(node)
	if node.Name == "" { // that of what is outside of the cluster
		p.problem(node, "name", "give each node a name", "there is none")
		return
	}
	if len(addresses) == 0 {
		return
	}
	if p.byName[node.Name] != nil {
		p.problem(node, "name", "give each node a name of its own", "there are two nodes of this name")
		return
	}
	added := &nodeInfo{
		name: node.Name, addresses: addresses, tunnelEnd: addresses[0], podCIDRs: slices.Clone(node.PodCIDRs), zone: node.Zone,
	}
	for _, address := range node.Others {
		added.others = append(added.others, address.Unmap())
	}
	p.byName[node.Name] = added
	p.ordered = append(p.ordered, added)
}

// addressesOf are the node's usable addresses, each once.
func (p *nodeIndex) addressesOf(node *Node) []netip.Addr {
	var all []netip.Addr
	if len(node.Addresses) == 0 {
		p.problem(node, "addresses", "give the node a unicast address", "there is none")
	}
	for i, address := range node.Addresses {
		if !usable(address) {
			p.problem(node, fmt.Sprintf("addresses[%d]", i), "use a unicast address", "%s is not the address of a node", address)
		} else if address = address.Unmap(); !slices.Contains(all, address) {
			all = append(all, address)
		}
	}
	return all
}

// owning is the node whose pod CIDR has the address or that has it itself, nil when none has.
func (p *nodeIndex) owning(address netip.Addr) *nodeInfo {
	for _, node := range p.ordered {
		if slices.Contains(node.addresses, address) {
			return node
		}
		for _, cidr := range node.podCIDRs {
			if cidr.Contains(address) {
				return node
			}
		}
	}
	return nil
}

// usable reports whether packets can be sent to a over a network.
func usable(a netip.Addr) bool {
	a = a.Unmap()
	thisNetwork := a.Is4() && a.As4()[0] == 0 // RFC 791, section 3.2
	return a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast() &&
		!thisNetwork && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

package bgp

import (
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Node is a cluster node that may announce VIPs.
type Node struct {
	Name string
	// Addresses are the node's own. It announces VIPs of their families only.
	Addresses []netip.Addr
	// Excluded: the node is labelled node.kubernetes.io/exclude-from-external-load-balancers.
	Excluded bool
}

// VIPs returns, in order and without duplicates, the VIPs of tables that node is to announce: addresses of services of type
// LoadBalancer for which allowed returns true and which the node can serve. allowed is needed because whoever may create a Service can
// ask for any address. VIPs is pure.
//
// A node can serve a VIP if it has an address of the VIP's family, is not excluded, and has a backend for it: with externalTrafficPolicy
// Cluster any that gets new flows, which are the ready ones or else those that still serve while they terminate, on whatever node or
// outside of the cluster; with Local a ready one on this node. Where services share a VIP, one that the node can serve is enough. A VIP that
// nobody can serve is withdrawn by all nodes, so that routers answer for it, or another cluster that announces it gets its clients. The
// node's readiness doesn't count: the BGP session shows that the node is up.
func VIPs(node Node, tables *services.Tables, allowed func(netip.Addr) bool) []netip.Addr {
	if node.Excluded {
		return nil
	}
	var vips []netip.Addr
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		if f.Kind == services.KindLoadBalancer && allowed(f.Address) && node.hasFamilyOf(f.Address) &&
			node.hasBackend(f, tables) {
			vips = append(vips, f.Address) // frontends are ordered by address
		}
	}
	return slices.Compact(vips)
}

func (n *Node) hasBackend(f *services.Frontend, tables *services.Tables) bool {
	if f.LocalOnly {
		return len(tables.Ready(f, n.Name)) > 0
	}
	return len(f.Backends) > 0
}

func (n *Node) hasFamilyOf(vip netip.Addr) bool { return addressOfFamily(n.Addresses, vip).IsValid() }

// addressOfFamily returns the first of addresses that has vip's family; the zero Addr if there is none.
func addressOfFamily(addresses []netip.Addr, vip netip.Addr) netip.Addr {
	for _, a := range addresses {
		if a.Is4() == vip.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

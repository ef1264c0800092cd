package steps

import (
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/topologies"
)

// isLBNode reports whether requests enter at the node.
func isLBNode(t *trial.Attempt, name string) bool {
	return slices.Contains(t.LBNames(), name)
}

// isLBAddress reports whether an address is an LB node's.
func isLBAddress(t *trial.Attempt, a netip.Addr) bool {
	return slices.ContainsFunc(t.Testbed.LBNodes(), func(n topologies.Node) bool { return n.Addresses[0].Addr() == a })
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

package edge

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/labs/edge/rules"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// SetSpoofProtection makes the fabric drop packets from an LB or pod node whose source is not the node's, or accept them all. A
// node's sources are its own addresses, those of its pods, and the VIPs that the topology routes to it. Counters start from zero each
// time it is switched on.
func SetSpoofProtection(tb *testbed.Testbed, on bool) error {
	change := rules.Unprotect
	if on {
		change = func() error { return rules.Protect(protectedPorts(tb)) }
	}
	return tb.Network().Do(netns.Fabric, change)
}

func protectedPorts(tb *testbed.Testbed) []rules.Port {
	var all []rules.Port
	for _, n := range tb.ClusterNodes() {
		p := rules.Port{Node: n.Name, Device: n.Port, Sources: n.PodCIDRs}
		for _, a := range n.Addrs() {
			p.Sources = append(p.Sources, netip.PrefixFrom(a, a.BitLen()))
		}
		for _, r := range vipRoutes(tb) {
			if leadsTo(r, n) {
				p.Sources = append(p.Sources, r.Destination)
			}
		}
		all = append(all, p)
	}
	return all
}

func leadsTo(r topologies.Route, n topologies.Node) bool {
	return slices.ContainsFunc(n.Addrs(), func(a netip.Addr) bool { return slices.Contains(r.Via, a) })
}

// SpoofDrops is how many packets from a node spoof protection has dropped at the node's port; 0 where it is off.
func SpoofDrops(tb *testbed.Testbed, node string) (uint64, error) {
	all, err := spoofDrops(tb)
	if err != nil {
		return 0, err
	}
	if !slices.ContainsFunc(tb.ClusterNodes(), func(n topologies.Node) bool { return n.Name == node }) {
		return 0, fmt.Errorf("spoof drops of %s: want an LB or pod node", node)
	}
	return all[node], nil
}

// spoofDrops are those of all nodes; nil where protection is off.
func spoofDrops(tb *testbed.Testbed) (drops map[string]uint64, err error) {
	err = tb.Network().Do(netns.Fabric, func() (err error) {
		drops, err = rules.Drops()
		return err
	})
	return drops, err
}

package testbed

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// SetSpoofProtection makes the fabric drop packets from an LB or pod node whose source is not the node's, or accept them all. A
// node's sources are its own addresses, those of its pods, and the VIPs that the topology routes to it. Counters start from zero each
// time it is switched on.
func (tb *Testbed) SetSpoofProtection(on bool) error {
	change := edge.Unprotect
	if on {
		change = func() error { return edge.Protect(tb.protectedPorts()) }
	}
	return tb.network.Do(netns.Fabric, change)
}

func (tb *Testbed) protectedPorts() []edge.Port {
	var all []edge.Port
	for _, n := range tb.ClusterNodes() {
		p := edge.Port{Node: n.Name, Device: n.Port, Sources: n.PodCIDRs}
		for _, a := range n.Addrs() {
			p.Sources = append(p.Sources, netip.PrefixFrom(a, a.BitLen()))
		}
		for _, r := range tb.vipRoutes() {
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
func (tb *Testbed) SpoofDrops(node string) (uint64, error) {
	all, err := tb.spoofDrops()
	if err != nil {
		return 0, err
	}
	if !slices.ContainsFunc(tb.ClusterNodes(), func(n topologies.Node) bool { return n.Name == node }) {
		return 0, fmt.Errorf("spoof drops of %s: want an LB or pod node", node)
	}
	return all[node], nil
}

// spoofDrops are those of all nodes; nil where protection is off.
func (tb *Testbed) spoofDrops() (drops map[string]uint64, err error) {
	err = tb.network.Do(netns.Fabric, func() (err error) {
		drops, err = edge.Drops()
		return err
	})
	return drops, err
}

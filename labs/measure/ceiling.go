package measure

import (
	"net/netip"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
)

// WiresCeiling is the payload rate, in bit/s, that TCP can have between a client and the first of the pods, which is the one that is called
// without a load balancer; 0 if neither wire is shaped.
func WiresCeiling(plan *topologies.Plan, client string, pods []netip.Addr, d workload.Direction) float64 {
	var called *topologies.Pod
	if len(pods) > 0 {
		called = plan.PodAt(pods[0])
	}
	lowest := 0.0
	for i := range plan.Nodes {
		n := &plan.Nodes[i]
		asks := n.Name == client
		answers := called != nil && called.Node == n.Name
		if !asks && !answers {
			continue
		}
		shape := n.ToNode
		if asks == (d == workload.Upload) {
			shape = n.FromNode
		}
		if shape.Rate == 0 {
			continue
		}
		if ceiling := tcpCeiling(shape, plan.MTUOf(n)); lowest == 0 || ceiling < lowest {
			lowest = ceiling
		}
	}
	return lowest
}

// tcpCeiling returns the payload rate, in bit/s, that one TCP flow with timestamps can have over a link: of each frame the payload.
func tcpCeiling(s topologies.Shape, mtu int) float64 {
	const headers, ethernet = 20 + 20 + 12, 14
	return float64(s.Rate) * float64(mtu-headers) / float64(mtu+ethernet+*s.Overhead)
}

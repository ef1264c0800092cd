package measure

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
)

// The ceiling is that of the slower of the two wires, in the direction in which the bytes go.
func TestWiresCeiling(t *testing.T) {
	overhead := topologies.DefaultOverhead
	shape := func(rate topologies.Rate) topologies.Shape { return topologies.Shape{Rate: rate, Overhead: &overhead} }
	pod := netip.MustParseAddr("10.0.1.50")
	plan := &topologies.Plan{
		MTU: 1500,
		Nodes: []topologies.Node{
			{Name: "client", ToNode: shape(1e9), FromNode: shape(2e9)},
			{Name: "worker", ToNode: shape(5e8), FromNode: shape(3e9)},
			{Name: "lb", ToNode: shape(1e8), FromNode: shape(1e8)},
			{Name: "free"},
		},
		Pods: []topologies.Pod{{Name: "echo", Node: "worker", Addresses: []netip.Addr{pod}}, {Name: "other", Node: "free", Addresses: []netip.Addr{pod.Next()}}},
	}
	const payload = 1448.0 / 1538 // of each frame, with what Ethernet puts around it
	pods := []netip.Addr{pod}
	assert.InDelta(t, 1e9*payload, WiresCeiling(plan, "client", pods, workload.Download), 1)
	assert.InDelta(t, 5e8*payload, WiresCeiling(plan, "client", pods, workload.Upload), 1)
	assert.InDelta(t, 2e9*payload, WiresCeiling(plan, "client", []netip.Addr{pod.Next()}, workload.Upload), 1, "one wire is not shaped")
	assert.Zero(t, WiresCeiling(plan, "free", []netip.Addr{pod.Next()}, workload.Upload))
}

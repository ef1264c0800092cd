package netns

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies"
)

// wide is a plan of n nodes, all shaped: a client, an LB node, workers.
func wide(t testing.TB, n int) *topologies.Plan {
	t.Helper()
	topology := &topologies.Topology{
		APIVersion: topologies.APIVersion, Kind: topologies.Kind, Metadata: topologies.Metadata{Name: "wide"},
		Spec: topologies.Spec{
			Networks: []topologies.NetworkSpec{{Name: "lan", Subnets: []netip.Prefix{netip.MustParsePrefix("172.16.0.0/16")}}},
			Nodes: []topologies.NodeSpec{
				{Name: "client", Role: topologies.RoleClient, Addresses: []netip.Addr{netip.MustParseAddr("172.16.0.10")}},
				{Name: "lb", Role: topologies.RoleLB, Addresses: []netip.Addr{netip.MustParseAddr("172.16.0.11")}},
				{Name: "worker", Role: topologies.RoleWorker, Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.1")}, Replicas: n - 2},
			},
		},
	}
	for i := range topology.Spec.Nodes {
		topology.Spec.Nodes[i].Link.Rate = 1e9
	}
	topologies.Default(topology)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	require.Len(t, plan.Nodes, n)
	return plan
}

func TestTwoHundredNodes(t *testing.T) {
	plan := wide(t, 200)
	nw := up(t, plan, "test-wide", t.TempDir())
	dial(t, nw, "client", plan.Nodes[199].Name, plan.Nodes[199].Addresses[0].Addr())
	dial(t, nw, plan.Nodes[2].Name, plan.Nodes[150].Name, plan.Nodes[150].Addresses[0].Addr())
}

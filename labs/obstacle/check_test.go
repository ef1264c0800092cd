package obstacle

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies"
)

// refused are the obstacles that a plan's network can't have.
func refused(p *topologies.Plan) []string {
	all := []string{}
	for _, name := range Names() {
		if Check(p, name) != nil {
			all = append(all, name)
		}
	}
	return all
}

// Where a client is among the nodes, what the router does is done to nobody; and some obstacles are about certain nodes.
func TestCheckCatalogue(t *testing.T) {
	apart, together := []string{"dnat-nlb"}, []string{"urpf", "dnat-nlb", "one-way-firewall", "half-open-firewall", "node-behind-nat"}
	want := map[string][]string{
		"would-it-work": {}, "edge": {},
		"dual-stack": apart, "failover": apart, "five-nodes": apart, "proxies": apart, "source-ip": apart, "visitors": apart,
		"local-policy": {"dnat-nlb", "half-open-firewall"},
		"talk":         together, "uniform": together, "inference": together, "oversubscription": together,
	}
	for _, name := range topologies.Catalogue() {
		topology, err := topologies.Lookup(name)
		require.NoError(t, err)
		plan, err := topologies.PlanOf(topology)
		require.NoError(t, err)
		assert.Contains(t, want, name)
		assert.Equal(t, want[name], refused(plan), name)
		require.NoError(t, Check(plan))
		switch name {
		case "talk":
			require.EqualError(t, Check(plan, "urpf", "path-mtu", "x"), "obstacle urpf would do nothing: topology talk lacks a client in another "+
				"network than an LB or pod node (want a topology such as would-it-work)\n"+
				`unknown obstacle "x" (want one of source-check, port-security, urpf, dnat-nlb, one-way-firewall, half-open-firewall, `+
				"geneve-blocked, node-behind-nat, path-mtu, vlan-overhead, mtu-mixed, rp-filter, conntrack-invalid)")
		case "local-policy":
			require.EqualError(t, Check(plan, "half-open-firewall"), "obstacle half-open-firewall would do nothing: topology local-policy lacks a "+
				"node of role worker (want a topology such as would-it-work)")
		case hasAll:
			plan.Substrate = topologies.SubstrateKindK
			require.EqualError(t, Check(plan, "urpf", "path-mtu"), "found substrate kind (want netns: obstacles are inside its namespaces)")
		}
	}
}

func TestCheckFewNodes(t *testing.T) {
	clients := &topologies.Plan{Name: "clients", Nodes: []topologies.Node{{Name: "a", Role: topologies.RoleClient, Network: "lan"}}}
	assert.Equal(t, Names(), refused(clients), "what obstacles are about is not there")
	alone := &topologies.Plan{Name: "alone", Nodes: append(clients.Nodes, topologies.Node{Name: "lb", Role: topologies.RoleLB, Network: "cluster"})}
	for _, name := range []string{"geneve-blocked", "path-mtu", "vlan-overhead", "mtu-mixed", "half-open-firewall"} {
		assert.Error(t, Check(alone, name), name)
	}
	for _, name := range []string{"source-check", "urpf", "one-way-firewall", "node-behind-nat"} {
		assert.NoError(t, Check(alone, name), name)
	}
}

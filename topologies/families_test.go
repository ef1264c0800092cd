package topologies

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// TestHints: endpoints have the hints that a cluster's controller writes for the service.
func TestHints(t *testing.T) {
	source := func(distribution string) []byte {
		return []byte(`apiVersion: dsrlab.dev/v1alpha1
kind: Topology
metadata: {name: zones}
spec:
  networks:
  - {name: lan, subnets: [192.168.1.0/24]}
  nodes:
  - {name: client, role: client, addresses: [192.168.1.1]}
  - {name: lb, role: lb, addresses: [192.168.1.11], labels: {topology.kubernetes.io/zone: east}}
  - {name: worker, role: worker, addresses: [192.168.1.12]}
  pods:
  - {name: one, node: lb, labels: {app: echo}, workload: [{kind: echo, port: 8080}]}
  - {name: two, node: worker, labels: {app: echo}, workload: [{kind: echo, port: 8080}]}
  services:
  - metadata: {name: echo}
    spec: {` + distribution + `selector: {app: echo}, ports: [{port: 8080}]}
`)
	}
	east, zones := "east", []discoveryv1.ForZone{{Name: "east"}}
	node := func(name string) []discoveryv1.ForNode { return []discoveryv1.ForNode{{Name: name}} }
	for distribution, want := range map[string][]*discoveryv1.EndpointHints{
		"":                                      {nil, nil},
		"trafficDistribution: PreferClose, ":    {{ForZones: zones}, {}},
		"trafficDistribution: PreferSameZone, ": {{ForZones: zones}, {}},
		"trafficDistribution: PreferSameNode, ": {{ForZones: zones, ForNodes: node("lb")}, {ForNodes: node("worker")}},
		"trafficDistribution: SomethingElse, ":  {nil, nil},
	} {
		endpoints := planOf(t, "zones", source(distribution)).EndpointSlices[0].Endpoints
		assert.Equal(t, want, []*discoveryv1.EndpointHints{endpoints[0].Hints, endpoints[1].Hints}, distribution)
		assert.Equal(t, []*string{&east, nil}, []*string{endpoints[0].Zone, endpoints[1].Zone}, distribution)
	}
}

func dualStack(t *testing.T) *Plan {
	t.Helper()
	source, err := Source("dual-stack")
	require.NoError(t, err)
	return planOf(t, "dual-stack", source)
}

func TestBothFamilies(t *testing.T) {
	plan := dualStack(t)
	four, six := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")
	network, node, pod := &plan.Networks[1], &plan.Nodes[4], &plan.Pods[1]
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("192.168.2.0/24"), netip.MustParsePrefix("2001:db8:2::/64")}, network.Subnets)
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("192.168.2.254"), netip.MustParseAddr("2001:db8:2::fe")}, network.Gateways)
	assert.Equal(t, "worker-2", node.Name)
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("192.168.2.22/24"), netip.MustParsePrefix("2001:db8:2::22/64")}, node.Addresses)
	assert.Equal(t, network.Gateways, node.Gateways)
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.3.0/24"), netip.MustParsePrefix("fd00:10:0:3::/64")}, node.PodCIDRs)
	assert.Equal(t, netip.MustParseAddr("192.168.2.22"), node.AddressFor(four))
	assert.Equal(t, netip.MustParseAddr("2001:db8:2::22"), node.AddressFor(six))
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("10.0.3.2"), netip.MustParseAddr("fd00:10:0:3::2")}, pod.Addresses)
	assert.Equal(t, pod.Addresses[1], pod.AddressFor(six))

	talk, err := Source("talk")
	require.NoError(t, err)
	single := planOf(t, "talk", talk)
	assert.Len(t, single.Networks[0].Subnets, 1)
	assert.Len(t, single.Nodes[0].Addresses, 1)
	assert.Empty(t, single.Nodes[0].PodCIDRs, "a client's")
	assert.Len(t, single.Pods[0].Addresses, 1)
	assert.False(t, single.Nodes[0].AddressFor(six).IsValid())
	assert.False(t, single.Pods[0].AddressFor(six).IsValid())
}

func TestDualStackDiff(t *testing.T) {
	plan, other := dualStack(t), dualStack(t)
	network, node, pod := &other.Networks[0], &other.Nodes[1], &other.Pods[0]
	network.Subnets, network.Gateways = network.Subnets[:1], network.Gateways[:1]
	node.Addresses[1] = netip.MustParsePrefix("2001:db8:2::77/64")
	node.PodCIDRs[1] = netip.MustParsePrefix("fd00:77::/64")
	pod.Addresses[1] = netip.MustParseAddr("fd00:10:0:2::77")
	assert.Equal(t, []string{
		"network wan: subnet was 192.0.2.0/24 and 2001:db8:1::/64, is 192.0.2.0/24",
		"network wan: gateway was 192.0.2.254 and 2001:db8:1::fe, is 192.0.2.254",
		"node lb-1: address was 192.168.2.11/24 and 2001:db8:2::11/64, is 192.168.2.11/24 and 2001:db8:2::77/64",
		"node lb-1: pod CIDR was 10.0.0.0/24 and fd00:10::/64, is 10.0.0.0/24 and fd00:77::/64",
		"pod tcp-echo-1: address was 10.0.2.2 and fd00:10:0:2::2, is 10.0.2.2 and fd00:10:0:2::77",
	}, plan.Diff(other))
}

// With thousands of pods the slices of both families are as full as the API allows.
func TestDualStackSlices(t *testing.T) {
	source, err := Source("dual-stack")
	require.NoError(t, err)
	changed := strings.Replace(string(source), "    node: worker\n", "    node: worker-2\n    replicas: 1200\n", 1)
	changed = strings.ReplaceAll(changed, "podCIDRs: [10.0.2.0/24,", "podCIDRs: [10.16.0.0/16,")
	plan := planOf(t, "many", []byte(changed))
	var names []string
	for _, s := range plan.EndpointSlices {
		names = append(names, s.Name)
	}
	assert.Equal(t, []string{"tcp-echo-ipv4", "tcp-echo-ipv4-2", "tcp-echo-ipv6", "tcp-echo-ipv6-2"}, names)
	last := plan.EndpointSlices[3].Endpoints
	assert.Len(t, last, 200)
	assert.Equal(t, []string{"fd00:10:0:3::4b1"}, last[199].Addresses)
	assert.True(t, slices.IsSortedFunc(plan.FabricRoutes, func(a, b Route) int { return a.Destination.Addr().Compare(b.Destination.Addr()) }))
}

package dataplane

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services/servicestest"
)

func TestList(t *testing.T) {
	d := newMaps(t, fewEntries)
	tables := servicestest.Many(2, 2)
	tables.Backends[1].Weight = 3
	tables.Frontends[0].Affinity = time.Minute
	tables.Frontends[0].SourceRanges = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("192.0.2.0/24")}
	tables.Frontends[2].LocalOnly = true
	tables.Frontends[2].Backends = []int{3}
	tables.Frontends[3].Backends = []int{3}
	tables.Backends[2].Draining = true
	_, err := d.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: tables})
	require.NoError(t, err)

	list, err := d.List()
	require.NoError(t, err)
	require.Len(t, list, 4)
	got := list[slices.IndexFunc(list, func(l Listed) bool { return l.Address.String() == "198.18.0.0:80" })]
	first := got.Number
	assert.NotZero(t, first)
	node, shares := servicestest.NodeAddr(1), [2]float64{got.Backends[0].Share, got.Backends[1].Share}
	assert.InDelta(t, 0.25, shares[0], 0.02, "weights 1 and 3")
	assert.InDelta(t, 1, shares[0]+shares[1], 1e-9)
	assert.Equal(t, Listed{
		Address: netip.MustParseAddrPort("198.18.0.0:80"), Protocol: "TCP", Service: "default/s00000:http/TCP", Number: first,
		Kind: "LoadBalancer", Mode: "dsr", Affinity: 60,
		Ranges: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		Backends: []ListedBackend{
			{ID: 2, Serial: 2, Address: netip.MustParseAddrPort("10.1.0.0:8080"), Protocol: "TCP", Node: node, Share: shares[0], State: "active"},
			{ID: 3, Serial: 3, Address: netip.MustParseAddrPort("10.1.0.1:8080"), Protocol: "TCP", Node: node, Share: shares[1], State: "active"},
		},
	}, got)
	got = list[slices.IndexFunc(list, func(l Listed) bool { return l.Address.String() == "198.18.0.1:80" })]
	assert.True(t, got.Local)
	assert.Empty(t, got.Backends, "none is on this node")
	require.Len(t, got.Inside, 1)
	assert.InDelta(t, 1, got.Inside[0].Share, 0)
	clusterIP := list[0]
	assert.Equal(t, "ClusterIP", clusterIP.Kind)
	assert.Equal(t, "snat", clusterIP.Mode)
	assert.Empty(t, clusterIP.Ranges, "they are the LoadBalancer's")
	assert.True(t, slices.IsSortedFunc(list, func(a, b Listed) int { return a.Address.Compare(b.Address) }))

	all, err := d.Backends()
	require.NoError(t, err)
	require.Len(t, all, 4)
	assert.Equal(t, "draining", all[2].State)
	assert.True(t, all[2].Draining)
}

func TestServiceCounters(t *testing.T) {
	d := newMaps(t, fewEntries)
	_, err := d.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: servicestest.Many(2, 1)})
	require.NoError(t, err)
	numbers := contentsOf(t, d).numbersOf()
	cpus, err := ebpf.PossibleCPU()
	require.NoError(t, err)
	perCPU := make([]bpf.DatapathServiceCounter, cpus)
	perCPU[0] = bpf.DatapathServiceCounter{Requests: bpf.DatapathCounter{Packets: 1, Bytes: 60}, Flows: 1}
	perCPU[cpus-1].Replies = bpf.DatapathCounter{Packets: 2, Bytes: 120}
	perCPU[cpus-1].Drops = bpf.DatapathCounter{Packets: 3, Bytes: 180}
	require.NoError(t, d.objects.ServiceCounters.Put(numbers["default/s00001:http/TCP"], perCPU))
	got, err := d.ServiceCounters()
	require.NoError(t, err)
	assert.Equal(t, []ServiceCounter{
		{Service: "default/s00000:http/TCP", Number: numbers["default/s00000:http/TCP"]},
		{Service: "default/s00001:http/TCP", Number: numbers["default/s00001:http/TCP"],
			Requests: Traffic{1, 60}, Replies: Traffic{2, 120}, Drops: Traffic{3, 180}, Flows: 1},
	}, got)

	_, err = d.Update("default/s00001", nil)
	require.NoError(t, err)
	again := d.again()
	_, err = again.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: servicestest.Many(3, 1)})
	require.NoError(t, err)
	got, err = again.ServiceCounters()
	require.NoError(t, err)
	for _, c := range got {
		assert.Zero(t, c.Flows, "%s begins at zero, with a number that was another's", c.Service)
	}
}

func TestMapUsage(t *testing.T) {
	d := newMaps(t, fewEntries)
	_, err := d.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: servicestest.Many(3, 2)})
	require.NoError(t, err)
	for i := range uint16(5) {
		require.NoError(t, d.objects.Flows.Put(bpf.DatapathFlowKey{SourcePort: i}, bpf.DatapathFlow{}))
	}
	all, err := d.MapUsage()
	require.NoError(t, err)
	used := make(map[string]MapUsage)
	for _, u := range all {
		used[u.Name] = u
	}
	assert.Equal(t, MapUsage{Name: "frontends", Used: 12, Capacity: 256}, used["frontends"])
	assert.Equal(t, MapUsage{Name: "slots", Used: 3, Capacity: 8192}, used["slots"])
	assert.Equal(t, MapUsage{Name: "backends", Used: 6, Capacity: 128}, used["backends"])
	assert.Equal(t, MapUsage{Name: "cluster", Used: 6, Capacity: 64}, used["cluster"])
	assert.Equal(t, MapUsage{Name: "flows", Used: 5, Capacity: 1024, Evicts: true}, used["flows"])
	assert.Equal(t, 0, used["replies"].Used)
}

package metrics

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

var _ Source = (*dataplane.DataPath)(nil)

// fixed is a node that has counted a little, or cannot be read.
type fixed struct{ err error }

func (f fixed) Counters(*dataplane.Names) ([]dataplane.Counter, error) {
	return []dataplane.Counter{
		{Reason: bpf.DatapathReasonREASON_TO_OVERLAY_DSR, Packets: 3, Bytes: 222},
		{Reason: bpf.DatapathReasonREASON_DROP_ICMP_NO_FLOW, Packets: 1, Bytes: 60},
	}, f.err
}

func (f fixed) ServiceCounters() ([]dataplane.ServiceCounter, error) {
	return []dataplane.ServiceCounter{
		{
			Service: "default/echo:http/TCP", Number: 1, Requests: dataplane.Traffic{Packets: 3, Bytes: 222},
			Replies: dataplane.Traffic{Packets: 2, Bytes: 148}, Drops: dataplane.Traffic{Packets: 1, Bytes: 60}, Flows: 2,
		},
		{Service: "default/dns/UDP", Number: 2},
	}, f.err
}

func (f fixed) MapUsage() ([]dataplane.MapUsage, error) {
	return []dataplane.MapUsage{{Name: "flows", Used: 5, Capacity: 1024, Evicts: true}}, f.err
}

func collector(t *testing.T, source Source) *Collector {
	t.Helper()
	names, err := dataplane.LoadNames()
	require.NoError(t, err)
	return New(source, names, prometheus.Labels{"node": "lb"})
}

func TestCollector(t *testing.T) {
	c := collector(t, fixed{})
	const want = `
# HELP dsrlab_bytes_total Bytes by what happened to their packets, from the Ethernet header on.
# TYPE dsrlab_bytes_total counter
dsrlab_bytes_total{node="lb",reason="icmp-no-flow",verdict="dropped"} 60
dsrlab_bytes_total{node="lb",reason="to-overlay-dsr",verdict="forwarded"} 222
# HELP dsrlab_map_capacity_entries Entries that a map of the data path has room for.
# TYPE dsrlab_map_capacity_entries gauge
dsrlab_map_capacity_entries{map="flows",node="lb"} 1024
# HELP dsrlab_map_entries Entries in a map of the data path.
# TYPE dsrlab_map_entries gauge
dsrlab_map_entries{map="flows",node="lb"} 5
# HELP dsrlab_packets_total Packets by what happened to them; each is counted under one reason.
# TYPE dsrlab_packets_total counter
dsrlab_packets_total{node="lb",reason="icmp-no-flow",verdict="dropped"} 1
dsrlab_packets_total{node="lb",reason="to-overlay-dsr",verdict="forwarded"} 3
# HELP dsrlab_service_answers_bytes_total Bytes from a service's port to its clients, from the Ethernet header on.
# TYPE dsrlab_service_answers_bytes_total counter
dsrlab_service_answers_bytes_total{namespace="default",node="lb",port="",protocol="UDP",service="dns"} 0
dsrlab_service_answers_bytes_total{namespace="default",node="lb",port="http",protocol="TCP",service="echo"} 148
# HELP dsrlab_service_dropped_packets_total Packets to or from a service's port that were dropped.
# TYPE dsrlab_service_dropped_packets_total counter
dsrlab_service_dropped_packets_total{namespace="default",node="lb",port="",protocol="UDP",service="dns"} 0
dsrlab_service_dropped_packets_total{namespace="default",node="lb",port="http",protocol="TCP",service="echo"} 1
# HELP dsrlab_service_flows_total Flows to a service's port that began on this node.
# TYPE dsrlab_service_flows_total counter
dsrlab_service_flows_total{namespace="default",node="lb",port="",protocol="UDP",service="dns"} 0
dsrlab_service_flows_total{namespace="default",node="lb",port="http",protocol="TCP",service="echo"} 2
# HELP dsrlab_service_requests_packets_total Packets of clients to a service's port.
# TYPE dsrlab_service_requests_packets_total counter
dsrlab_service_requests_packets_total{namespace="default",node="lb",port="",protocol="UDP",service="dns"} 0
dsrlab_service_requests_packets_total{namespace="default",node="lb",port="http",protocol="TCP",service="echo"} 3
`
	assert.NoError(t, testutil.CollectAndCompare(c, strings.NewReader(want),
		"dsrlab_bytes_total", "dsrlab_packets_total", "dsrlab_map_entries", "dsrlab_map_capacity_entries",
		"dsrlab_service_answers_bytes_total", "dsrlab_service_dropped_packets_total", "dsrlab_service_flows_total",
		"dsrlab_service_requests_packets_total"))
	assert.Equal(t, 2*2+2*7+2, testutil.CollectAndCount(c))
	problems, err := testutil.CollectAndLint(c)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func TestCollectorFails(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(collector(t, fixed{err: errors.New("no such map")})))
	_, err := registry.Gather()
	assert.ErrorContains(t, err, "no such map")
}

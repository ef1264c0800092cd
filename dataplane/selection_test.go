package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/rendezvous"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/dataplane/services/servicestest"
)

// many gives a node a service of n backends on the other node, of these weights in turns.
func (w world) many(t testing.TB, d *DataPath, kind services.Kind, address netip.Addr, affinity time.Duration, n int, weights ...uint32) []rendezvous.Backend {
	t.Helper()
	tables := &services.Tables{Frontends: []services.Frontend{{
		Address: address, Port: portMany, Protocol: services.TCP, Kind: kind, Service: "default/many", Mode: services.ModeDSR, Affinity: affinity,
	}}}
	if f := &tables.Frontends[0]; kind == services.KindClusterIP && affinity > 0 { // as the package services has it
		f.Selection = services.SelectionRandom
	}
	var names []rendezvous.Backend
	backend := w.second
	for i := range n {
		backend = backend.Next()
		b := services.Backend{Address: backend, Port: portMany, Protocol: services.TCP, Node: "worker", NodeAddress: w.podTunnel,
			Weight: weights[i%len(weights)]}
		tables.Backends = append(tables.Backends, b)
		tables.Frontends[0].Backends = append(tables.Frontends[0].Backends, i)
		names = append(names, rendezvous.Backend{Name: b.Name(), Weight: b.Weight})
	}
	result, err := d.Update("default/many", tables)
	require.NoError(t, err)
	require.Empty(t, result.Refused)
	return names
}

// portMany is that of the service that many gives a node.
const portMany = 1010

// TestSelectsWhatGoComputes: the packet programs select from lists and tables what the package rendezvous says.
func TestSelectsWhatGoComputes(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		for _, test := range []struct {
			backends int
			weights  []uint32
		}{{1, []uint32{1}}, {2, []uint32{1}}, {8, []uint32{1}}, {9, []uint32{1}}, {16, []uint32{1}}, {17, []uint32{1}}, {5, []uint32{1, 2, 3}}} {
			names := w.many(t, d, services.KindLoadBalancer, w.vip, 0, test.backends, test.weights...)
			set := rendezvous.New(names)
			seen := make(map[string]bool)
			for port := range uint16(256) {
				p := packetSpec{src: w.client.Next(), dst: w.vip, sport: 1024 + port, dport: portMany, syn: true}
				hash := servicestest.HashFlow(netip.AddrPortFrom(p.src, p.sport), netip.AddrPortFrom(p.dst, p.dport), services.TCP)
				got := netip.AddrPortFrom(d.backendOf(t, p), portMany).String() + "/TCP"
				want := names[set.Select(rendezvous.SlotOf(hash))].Name
				require.Equal(t, want, got, "%d backends of weights %d, port %d", test.backends, test.weights, p.sport)
				seen[got] = true
			}
			assert.Len(t, seen, test.backends, "all backends are used")
			_, err := d.Update("default/many", nil)
			require.NoError(t, err)
			emptyMap(t, d.objects.FlowsUnconfirmed)
		}
	})
}

// TestAffinityTimeout: after the timeout a client of a ClusterIP may get another backend; at a VIP it gets what its address selects,
// the same again, as other LB nodes select that, too.
func TestAffinityTimeout(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		for _, test := range []struct {
			kind    services.Kind
			address netip.Addr
			many    bool
		}{{services.KindLoadBalancer, w.vip, false}, {services.KindClusterIP, w.clusterIP, true}} {
			w.many(t, d, test.kind, test.address, time.Hour, 4, 1)
			call := func(port uint16) netip.Addr {
				p := packetSpec{src: w.client, dst: test.address, sport: port, dport: portMany, syn: true}
				if test.kind != services.KindClusterIP {
					return d.backendOf(t, p)
				}
				p.src = w.localPod
				return dissect(t, d.send(t, FromPod, p.frame(t)).frame).addresses()[1]
			}
			seen := make(map[netip.Addr]bool)
			for attempt := range uint16(32) {
				first := call(1024 + 2*attempt)
				seen[first] = true
				require.Equal(t, first, call(1025+2*attempt), "before the timeout")
				d.endAffinities(t)
			}
			assert.Equal(t, test.many, len(seen) > 1, "%s: %d backends after timeouts", test.kind, len(seen))
		}
	})
}

// endAffinities makes all affinities older than an hour. The programs' clock begins with the machine, maybe less than an hour ago:
// the time is negative then, and the sum with the timeout right all the same.
func (d *DataPath) endAffinities(t *testing.T) {
	t.Helper()
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &now))
	old := make(map[bpf.DatapathAffinityKey]bpf.DatapathAffinity)
	require.NoError(t, readEntries(d.objects.Affinities, func(k bpf.DatapathAffinityKey, v bpf.DatapathAffinity) { old[k] = v }))
	require.NotEmpty(t, old)
	for key, value := range old {
		value.Seen = uint64(now.Nano() - int64(time.Hour+time.Millisecond))
		require.NoError(t, d.objects.Affinities.Put(key, value))
	}
}

// TestErrorOfAffinityFlow: an ICMP error about a flow that another LB node has goes to the backend that the client's address selects,
// as that node's flow did. Where backends are selected at random nobody can know.
func TestErrorOfAffinityFlow(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d, other := w.lb(t, services.ModeDSR), w.lb(t, services.ModeDSR)
		w.many(t, d, services.KindLoadBalancer, w.vip, time.Hour, 8, 1)
		w.many(t, other, services.KindLoadBalancer, w.vip, time.Hour, 8, 1)
		for port := range uint16(8) {
			b := d.backendOf(t, packetSpec{src: w.client, dst: w.vip, sport: 1024 + port, dport: portMany, syn: true})
			about := packetSpec{src: w.vip, dst: w.client, sport: portMany, dport: 1024 + port, ack: true, payload: 30}
			r := other.send(t, FromNetwork, icmpError(t, w.other, w.vip, 1280, about.ip(t)))
			require.Equal(t, only("icmp-relayed"), r.reasons)
			assert.Equal(t, b, dissect(t, r.frame).inner.addresses()[1])
		}
		about := packetSpec{src: w.vip.Next(), dst: w.client, sport: portTwo, dport: 1024, ack: true, payload: 30}
		r := other.send(t, FromNetwork, icmpError(t, w.other, w.vip.Next(), 1280, about.ip(t)))
		assert.Equal(t, only("icmp-no-flow"), r.reasons)
	})
}

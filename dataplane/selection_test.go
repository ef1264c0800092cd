package dataplane

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/rendezvous"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// hashFlow is hash_flow of bpf/address.h.
func hashFlow(source, destination netip.AddrPort, protocol services.Protocol) uint32 {
	from, to := wireAddress(source.Addr()).Word, wireAddress(destination.Addr()).Word
	h := uint64(0)
	for _, value := range []uint64{
		uint64(from[0])<<32 | uint64(from[1]), uint64(from[2])<<32 | uint64(from[3]),
		uint64(to[0])<<32 | uint64(to[1]), uint64(to[2])<<32 | uint64(to[3]),
		uint64(port16(source.Port()))<<24 | uint64(port16(destination.Port()))<<8 | uint64(protocol),
	} {
		h = (h ^ value) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	return uint32(h * 0xd6e8feb86659fd93 >> 32)
}

// hashesOf are those of 10,000 flows to a VIP.
func hashesOf(r *rand.Rand) []uint32 {
	vip := netip.MustParseAddrPort("198.18.0.0:80")
	all := make([]uint32, 10000)
	for i := range all {
		client := netip.AddrFrom4([4]byte{203, 0, 113, byte(r.IntN(256))})
		all[i] = hashFlow(netip.AddrPortFrom(client, uint16(32768+r.IntN(28232))), vip, services.TCP)
	}
	return all
}

// selected is the number of the backend that a packet program selects, given the rows of a set: see select_number in bpf/select.h.
func selected(set bpf.DatapathBackendSet, hash uint32, row func(uint32) bpf.DatapathRow) uint32 {
	if set.Size > listBackends {
		return backendAt(set, rendezvous.SlotOf(hash), row)
	}
	list := make(rendezvous.Set, set.Size)
	for i := range list {
		words := row(set.First + uint32(i/rowBackends)).Word
		list[i] = rendezvous.Member{Index: int(words[i%rowBackends*2]), Seed: words[i%rowBackends*2+1], Weight: 1}
	}
	return uint32(list.Select(rendezvous.SlotOf(hash)))
}

// TestFewestFlowsMove: what is in the maps for n backends and one more, the list that has become a table included. One in n+1 flows
// moves, and only between a backend that stays and the one that comes or goes.
func TestFewestFlowsMove(t *testing.T) {
	hashes := hashesOf(rand.New(rand.NewPCG(7, 8)))
	numbers := make([]uint32, 201)
	for i := range numbers {
		numbers[i] = uint32(i + 1)
	}
	of := func(n int) []uint32 {
		spec := compiled(t, oneService(0, n))
		set := bpf.DatapathBackendSet{Size: spec.sets[0].size()}
		rows := computeSelection(spec, 0).rows(numbers[:n])
		require.Len(t, rows, int(rowsOf(set.Size)))
		all := make([]uint32, len(hashes))
		for i, hash := range hashes {
			all[i] = selected(set, hash, func(row uint32) bpf.DatapathRow { return rows[row] })
		}
		return all
	}
	before := of(1)
	for n := 1; n < 200; n++ {
		after := of(n + 1)
		moved, needless := 0, 0
		for i := range hashes {
			if before[i] != after[i] {
				moved++
			}
			if before[i] != after[i] && after[i] != numbers[n] {
				needless++
			}
		}
		assert.LessOrEqual(t, float64(moved)/float64(len(hashes)), 1/float64(n+1)+0.02, "%d and %d backends", n, n+1)
		assert.Zero(t, needless, "%d and %d backends", n, n+1)
		before = after
	}
}

// TestNodesAgree: two nodes see other changes, in another order, and one joins at the end. All select the same backends.
func TestNodesAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	hashes := hashesOf(r)[:1000]
	random := func() State {
		tables := oneService(0, 24)
		count := 1 + r.IntN(24)
		kept := r.Perm(24)[:count]
		slices.Sort(kept)
		weighted := r.IntN(8) == 0
		for i := range tables.Backends {
			if weighted {
				tables.Backends[i].Weight = uint32(1 + r.IntN(3))
			}
			tables.Backends[i].Draining = !slices.Contains(kept, i)
		}
		for i := range tables.Frontends {
			tables.Frontends[i].Backends = kept
		}
		return State{Node: nodeName(0), Nodes: nodesOf(2), Tables: tables}
	}
	c := capacitiesOf(fewEntries)
	c[bpf.DatapathMapSlots] = 8 * rowsOf(rendezvous.Slots)
	desks := []*desk{newDesk(c), newDesk(c)}
	for range rounds() / 4 {
		last := random()
		for _, d := range desks {
			for range r.IntN(4) {
				d.kernel.makeWhole(t, d.planAll(t, random()), true)
				d.passTime(true)
			}
			d.kernel.makeWhole(t, d.planAll(t, last), true)
			d.passTime(true)
		}
		joined := newDesk(c)
		joined.kernel.makeWhole(t, joined.planAll(t, last), true)
		want := joined.kernel.selectedAll(t, hashes)
		for i, d := range desks {
			require.Equal(t, want, d.kernel.selectedAll(t, hashes), "node %d", i)
		}
	}
}

// selectedAll are the backends that flows to a frontend get, by address.
func (k *kernel) selectedAll(t *testing.T, hashes []uint32) []netip.Addr {
	t.Helper()
	f := k.frontends[bpf.DatapathServiceKey{Address: wireAddress(netip.MustParseAddr("198.18.0.0")), Port: port16(80), Protocol: 6}]
	all := make([]netip.Addr, len(hashes))
	for i, hash := range hashes {
		b := k.backends[selected(f.Outside, hash, func(row uint32) bpf.DatapathRow { return k.rows[row] })]
		require.NotZero(t, b.Serial)
		all[i] = b.Address.Addr()
	}
	return all
}

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
				hash := hashFlow(netip.AddrPortFrom(p.src, p.sport), netip.AddrPortFrom(p.dst, p.dport), services.TCP)
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

// BenchmarkSelection is what a change of a service of many backends takes to compute.
func BenchmarkSelection(b *testing.B) {
	v, problems := newNodeView(State{Node: nodeName(0), Nodes: nodesOf(2)})
	require.Empty(b, problems)
	for _, n := range []int{10, 50, 1000} {
		b.Run(fmt.Sprintf("%d backends", n), func(b *testing.B) {
			tables := oneService(0, n)
			spec, err := compileOne(v, "default/s00000", tables)
			require.NoError(b, err)
			numbers := make([]uint32, n)
			for b.Loop() {
				computeSelection(spec, 0).rows(numbers)
			}
		})
	}
}

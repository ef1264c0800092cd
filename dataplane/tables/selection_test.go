package tables

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/rendezvous"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/dataplane/services/servicestest"
)

// hashesOf are those of 10,000 flows to a VIP.
func hashesOf(r *rand.Rand) []uint32 {
	vip := netip.MustParseAddrPort("198.18.0.0:80")
	all := make([]uint32, 10000)
	for i := range all {
		client := netip.AddrFrom4([4]byte{203, 0, 113, byte(r.IntN(256))})
		all[i] = servicestest.HashFlow(netip.AddrPortFrom(client, uint16(32768+r.IntN(28232))), vip, services.TCP)
	}
	return all
}

// selected is the number of the backend that a packet program selects, given the rows of a set: see select_number in bpf/select.h.
func selected(set bpf.DatapathBackendSet, hash uint32, row func(uint32) bpf.DatapathRow) uint32 {
	if set.Size > bpf.ListBackends {
		return bpf.BackendAt(set, rendezvous.SlotOf(hash), row)
	}
	list := make(rendezvous.Set, set.Size)
	for i := range list {
		words := row(set.First + uint32(i/bpf.RowBackends)).Word
		list[i] = rendezvous.Member{Index: int(words[i%bpf.RowBackends*2]), Seed: words[i%bpf.RowBackends*2+1], Weight: 1}
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
		spec := compiled(t, servicestest.One(0, n))
		set := bpf.DatapathBackendSet{Size: spec.sets[0].size()}
		rows := computeSelection(spec, 0).rows(numbers[:n])
		require.Len(t, rows, int(bpf.RowsOf(set.Size)))
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
		tables := servicestest.One(0, 24)
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
		return State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: tables}
	}
	c := fewEntries.Capacities()
	c[bpf.DatapathMapSlots] = 8 * bpf.RowsOf(rendezvous.Slots)
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
	f := k.frontends[bpf.DatapathServiceKey{Address: bpf.WireAddress(netip.MustParseAddr("198.18.0.0")), Port: bpf.Port16(80), Protocol: 6}]
	all := make([]netip.Addr, len(hashes))
	for i, hash := range hashes {
		b := k.backends[selected(f.Outside, hash, func(row uint32) bpf.DatapathRow { return k.rows[row] })]
		require.NotZero(t, b.Serial)
		all[i] = b.Address.Addr()
	}
	return all
}

// BenchmarkSelection is what a change of a service of many backends takes to compute.
func BenchmarkSelection(b *testing.B) {
	v, problems := newNodeView(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2)})
	require.Empty(b, problems)
	for _, n := range []int{10, 50, 1000} {
		b.Run(fmt.Sprintf("%d backends", n), func(b *testing.B) {
			tables := servicestest.One(0, n)
			spec, err := compileOne(v, "default/s00000", tables)
			require.NoError(b, err)
			numbers := make([]uint32, n)
			for b.Loop() {
				computeSelection(spec, 0).rows(numbers)
			}
		})
	}
}

package rendezvous

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func names(n int) []Backend {
	all := make([]Backend, n)
	for i := range all {
		all[i] = nameOf(i)
	}
	return all
}

func nameOf(i int) Backend {
	return Backend{Name: fmt.Sprintf("10.%d.%d.%d:8080/TCP", i>>16, i>>8&255, i&255), Weight: 1}
}

// Slots must never change hands between versions: nodes of two versions share the flows of one service.
func TestFixed(t *testing.T) {
	set := New(names(4))
	assert.Equal(t, Set{{0, 0xb8530234, 1}, {1, 0xf036e3cb, 1}, {2, 0xa52fe1e7, 1}, {3, 0xaa77233f, 1}}, set)
	assert.Equal(t, []uint32{3, 2, 0, 3, 2, 3, 0, 3, 2, 2, 1, 2, 0, 0, 2, 1, 1, 0, 0, 1, 2, 0, 0, 3}, set.Table()[:24])
	set[0].Weight, set[1].Weight = 3, 2
	assert.Equal(t, []uint32{3, 0, 0, 3, 0, 0, 0, 3, 2, 0, 1, 2, 0, 0, 2, 0, 1, 0, 0, 1, 2, 0, 0, 0}, set.Table()[:24])
}

func TestOrderDoesNotMatter(t *testing.T) {
	for _, weights := range []int{1, 3} {
		in := names(20)
		for i := range in {
			in[i].Weight = uint32(1 + i%weights)
		}
		shuffled := make([]Backend, len(in))
		for to, from := range rand.New(rand.NewPCG(1, 2)).Perm(len(in)) {
			shuffled[to] = in[from]
		}
		want, got := New(in).Table(), New(shuffled).Table()
		for slot := range want {
			require.Equal(t, in[want[slot]].Name, shuffled[got[slot]].Name, "slot %d", slot)
		}
	}
}

// flows are 10,000 random hashes of flows.
func flows() []uint32 {
	random := rand.New(rand.NewPCG(3, 4))
	all := make([]uint32, 10000)
	for i := range all {
		all[i] = random.Uint32()
	}
	return all
}

// TestFewestMove adds a backend to n, which is to remove one of n+1 the other way round: 1/n of the flows move, give or take what
// chance does to 10,000, and none between backends that stay.
func TestFewestMove(t *testing.T) {
	all, hashes := names(201), flows()
	before := New(all[:1])
	for n := 1; n <= 200; n++ {
		after := New(all[:n+1])
		moved, needless := 0, 0
		for _, hash := range hashes {
			was, is := before.Select(SlotOf(hash)), after.Select(SlotOf(hash))
			if was != is {
				moved++
			}
			if was != is && is != n {
				needless++
			}
		}
		assert.LessOrEqual(t, float64(moved)/float64(len(hashes)), 1/float64(n+1)+0.02, "%d and %d backends", n, n+1)
		assert.Zero(t, needless, "%d and %d backends", n, n+1)
		before = after
	}
}

// The same with weights: one backend comes, or another changes its weight.
func TestFewestMoveByWeight(t *testing.T) {
	in := names(12)
	for i := range in {
		in[i].Weight = uint32(1 + i%5)
	}
	before := New(in[:11]).Table()
	heavier := append([]Backend{}, in...)
	heavier[3].Weight = 50
	with, after := New(in).Table(), New(heavier).Table()
	for slot := range before {
		require.True(t, before[slot] == with[slot] || with[slot] == 11, "slot %d", slot)
		require.True(t, with[slot] == after[slot] || after[slot] == 3, "slot %d", slot)
	}
}

// TestSpread holds the shares against a binomial distribution: five standard deviations are exceeded once in two million times.
func TestSpread(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 10, 16, 17, 100, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			share := 1 / float64(n)
			deviation := math.Sqrt(Slots * share * (1 - share))
			for _, slots := range shares(New(names(n)).Table(), n) {
				assert.InDelta(t, Slots*share, slots, 5*deviation)
			}
		})
	}
}

// TestIndependent: whether one backend beats another says nothing about a third, or those with many flows would be neighbours. Of
// three each order is as frequent as any other, over many sets.
func TestIndependent(t *testing.T) {
	orders := make(map[[3]bool]int)
	const sets = 64
	for i := range sets {
		set := New([]Backend{nameOf(3 * i), nameOf(3*i + 1), nameOf(3*i + 2)})
		for slot := range uint64(Slots) {
			hash := mix(0, slot)
			a, b, c := scoreOf(hash, set[0].Seed), scoreOf(hash, set[1].Seed), scoreOf(hash, set[2].Seed)
			orders[[3]bool{a > b, b > c, c > a}]++
		}
	}
	require.Len(t, orders, 6)
	for order, n := range orders {
		assert.InEpsilon(t, sets*Slots/6, n, 0.01, "%v", order)
	}
}

func shares(table []uint32, n int) []int {
	count := make([]int, n)
	for _, backend := range table {
		count[backend]++
	}
	return count
}

func TestWeights(t *testing.T) {
	in := names(5)
	weights := []uint32{1, 2, 40, 0, 57}
	for i := range in {
		in[i].Weight = weights[i]
	}
	count := shares(New(in).Table(), len(in))
	for i, weight := range weights {
		share := float64(weight) / 100
		assert.InDelta(t, share*Slots, count[i], 5*math.Sqrt(Slots*share*(1-share)), "backend of weight %d", weight)
	}
	for i := range in {
		in[i].Weight = 0
	}
	assert.Empty(t, New(in))
	assert.Nil(t, New(in).Table())
}

// Equal weights come to the same by either way, so a set whose weights become equal moves no more than it must.
func TestEqualWeightsAreNone(t *testing.T) {
	set := New(names(40))
	for i := range set {
		set[i].Weight = 7
	}
	for slot := range uint32(Slots) {
		require.Equal(t, set.selectEqual(slot), set.selectWeighted(slot), "slot %d", slot)
	}
}

func TestMinusLog(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 10000 {
		score := random.Uint64() >> (1 + random.UintN(63))
		score = max(score, 1)
		assert.InDelta(t, -math.Log(float64(score)/(1<<63)), minusLog(score), 1e-12, "%#x", score)
	}
}

// TestEqualHashes: of two backends whose names have the same hash both get flows, the same on every node.
func TestEqualHashes(t *testing.T) {
	seen := make(map[uint32]Backend)
	for i := 0; ; i++ {
		require.Less(t, i, 1<<20)
		b := nameOf(i)
		other, ok := seen[seedOf(b.Name, 0)]
		if !ok {
			seen[seedOf(b.Name, 0)] = b
			continue
		}
		set, swapped := New([]Backend{b, other}), New([]Backend{other, b})
		assert.NotEqual(t, set[0].Seed, set[1].Seed)
		count := shares(set.Table(), 2)
		assert.InDelta(t, Slots/2, count[0], 500)
		for slot := range uint32(Slots) {
			require.Equal(t, set.Select(slot), 1-swapped.Select(slot))
		}
		return
	}
}

func BenchmarkTable(b *testing.B) {
	for _, n := range []int{17, 50, 1000} {
		for _, weights := range []int{1, 3} {
			b.Run(fmt.Sprintf("%d of %d weights", n, weights), func(b *testing.B) {
				in := names(n)
				for i := range in {
					in[i].Weight = uint32(1 + i%weights)
				}
				for b.Loop() {
					New(in).Table()
				}
			})
		}
	}
}

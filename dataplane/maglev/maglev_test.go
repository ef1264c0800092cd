package maglev

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func names(n int) []Backend {
	all := make([]Backend, n)
	for i := range all {
		all[i] = Backend{Name: fmt.Sprintf("10.%d.%d.%d:8080/TCP", i>>16, i>>8&255, i&255), Weight: 1}
	}
	return all
}

func tableOf(t *testing.T, backends []Backend, m uint32) []uint32 {
	t.Helper()
	slots, err := Table(backends, m)
	require.NoError(t, err)
	return slots
}

func indices(n int) []uint32 {
	all := make([]uint32, n)
	for i := range all {
		all[i] = uint32(i)
	}
	return all
}

// The example of the paper: table 1 of Eisenbud et al., NSDI 2016.
func TestPopulatePaper(t *testing.T) {
	b0, b1, b2 := permutation{3, 4, 1}, permutation{0, 2, 1}, permutation{3, 1, 1}
	none := permutation{0, 2, 0}
	for _, c := range []struct {
		name string
		in   []permutation
		want []uint32
	}{
		{"three backends", []permutation{b0, b1, b2}, []uint32{1, 0, 1, 0, 2, 2, 0}},
		{"without the second", []permutation{b0, none, b2}, []uint32{0, 0, 0, 0, 2, 2, 2}},
		{"one", []permutation{b1}, []uint32{0, 0, 0, 0, 0, 0, 0}},
		{"no weight", []permutation{none, none}, nil},
		{"none", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := populate(c.in, indices(len(c.in)), 7)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestCheckSize(t *testing.T) {
	for _, c := range []struct {
		name string
		m    uint32
		want string
	}{
		{"not a prime", 16384, "check table size: 16384 is no prime from 3 to 65537, use for instance 251, 1021, 16381 or 65537"},
		{"zero", 0, "check table size: 0 is no prime from 3 to 65537, use for instance 251, 1021, 16381 or 65537"},
		{"too large", 65539, "check table size: 65539 is no prime from 3 to 65537, use for instance 251, 1021, 16381 or 65537"},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.EqualError(t, CheckSize(c.m), c.want)
		})
	}
	_, err := Table(names(3), 4096)
	assert.EqualError(t, err, "check table size: 4096 is no prime from 3 to 65537, use for instance 251, 1021, 16381 or 65537")
}

// Tables must never change between versions: nodes of two versions share the flows of one service.
func TestMaglevIsFixed(t *testing.T) {
	assert.Equal(t, []uint32{1, 0, 2, 1, 1, 0, 0, 0, 2, 2, 1, 2, 0}, tableOf(t, names(3), 13))
}

func TestMaglevOrderDoesNotMatter(t *testing.T) {
	in := names(20)
	for i := range in {
		in[i].Weight = uint32(1 + i%3)
	}
	shuffled := make([]Backend, len(in))
	from := rand.New(rand.NewPCG(1, 2)).Perm(len(in))
	for to, i := range from {
		shuffled[to] = in[i]
	}
	want, got := tableOf(t, in, 1021), tableOf(t, shuffled, 1021)
	for slot := range want {
		require.Equal(t, in[want[slot]].Name, shuffled[got[slot]].Name, "slot %d", slot)
	}
}

func shares(slots []uint32, n int) []int {
	count := make([]int, n)
	for _, backend := range slots {
		count[backend]++
	}
	return count
}

func TestMaglevSpread(t *testing.T) {
	for _, c := range []struct {
		n int
		m uint32
	}{{1, 251}, {2, 16381}, {10, 16381}, {100, 16381}, {1000, 65537}, {300, 251}} {
		t.Run(fmt.Sprintf("%d of %d", c.n, c.m), func(t *testing.T) {
			count := shares(tableOf(t, names(c.n), c.m), c.n)
			lowest, highest := count[0], count[0]
			for _, slots := range count {
				lowest, highest = min(lowest, slots), max(highest, slots)
			}
			assert.LessOrEqual(t, highest-lowest, 1)
		})
	}
}

func TestMaglevWeights(t *testing.T) {
	in := names(5)
	weights := []uint32{1, 2, 4, 0, 3}
	for i := range in {
		in[i].Weight = weights[i]
	}
	count := shares(tableOf(t, in, 16381), len(in))
	for i, weight := range weights {
		assert.InDelta(t, float64(weight)/10*16381, count[i], 2, "backend of weight %d", weight)
	}
}

// Weights as great as they can be neither overflow nor leave a slot free.
func TestMaglevGreatWeights(t *testing.T) {
	in := []Backend{{"a", 1<<32 - 1}, {"b", 1<<32 - 1}, {"c", 1 << 31}}
	count := shares(tableOf(t, in, 251), 3)
	assert.InDelta(t, 100, count[0], 2)
	assert.InDelta(t, 100, count[1], 2)
	assert.InDelta(t, 50, count[2], 2)
}

// moved is the share of slots that change hands, in percent, among those that need not: the removed backend's own are
// not counted. It is averaged over several removals.
func moved(t *testing.T, n int, m uint32) float64 {
	t.Helper()
	in := names(n)
	before := tableOf(t, in, m)
	var changed, removals int
	for gone := 0; gone < n; gone += max(1, n/10) {
		without := append([]Backend{}, in...)
		without[gone].Weight = 0
		after := tableOf(t, without, m)
		for slot := range before {
			require.NotEqual(t, uint32(gone), after[slot])
			if before[slot] != uint32(gone) && before[slot] != after[slot] {
				changed++
			}
		}
		removals++
	}
	return 100 * float64(changed) / float64(removals) / float64(m)
}

func TestMaglevDisruption(t *testing.T) {
	for _, c := range []struct {
		n     int
		m     uint32
		limit float64 // percent
	}{{10, 16381, 1.0}, {100, 16381, 2.0}, {1000, 65537, 1.0}} {
		t.Run(fmt.Sprintf("%d of %d", c.n, c.m), func(t *testing.T) {
			got := moved(t, c.n, c.m)
			t.Logf("beyond its own share %.2f %% of the slots move", got)
			assert.Less(t, got, c.limit)
			assert.Positive(t, got, "Maglev is not perfectly consistent: the test compares a table with itself")
		})
	}
}

func BenchmarkMaglev(b *testing.B) {
	for _, c := range []struct {
		n int
		m uint32
	}{{3, 16381}, {100, 16381}, {1000, 65537}} {
		b.Run(fmt.Sprintf("%d of %d", c.n, c.m), func(b *testing.B) {
			in := names(c.n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Table(in, c.m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// naive is pseudocode 1 of the paper, word by word.
func naive(permutations []permutation, m uint32) []uint32 {
	next, entry := make([]uint64, len(permutations)), make([]uint32, m)
	taken := make([]bool, m)
	for n := uint32(0); ; {
		for i, p := range permutations {
			slot := func() uint64 { return (uint64(p.Offset) + next[i]*uint64(p.Skip)) % uint64(m) }
			for taken[slot()] {
				next[i]++
			}
			taken[slot()], entry[slot()] = true, uint32(i)
			next[i]++
			if n++; n == m {
				return entry
			}
		}
	}
}

func TestPopulateAsInThePaper(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, m := range []uint32{3, 7, 13, 251, 257, 509, 16381, 65537} {
		for _, n := range []int{1, 2, 3, 17, 400} {
			permutations := make([]permutation, n)
			for i := range permutations {
				permutations[i] = permutation{random.Uint32N(m), 1 + random.Uint32N(m-1), 5}
			}
			got := populate(permutations, indices(n), m)
			require.Equal(t, naive(permutations, m), got, "%d of %d", n, m)
		}
	}
}

func TestInvert(t *testing.T) {
	for _, m := range []uint32{3, 251, 65537} {
		for a := uint32(1); a < m; a++ {
			require.Equal(t, uint64(1), uint64(a)*uint64(invert(a, m))%uint64(m), "%d mod %d", a, m)
		}
	}
}

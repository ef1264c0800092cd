package dataplane

import (
	"embed"
	"fmt"
	"math/bits"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// documents are in the test program, which also runs where there is no source beside it.
//
//go:embed README.md kube/README.md
var documents embed.FS

func TestDefaultsAreModest(t *testing.T) {
	m, err := memoryOf(Sizes{}, 2)
	require.NoError(t, err)
	assert.Less(t, m.loaded, uint64(60<<20), "dozens of nodes fit on a laptop")
	assert.Less(t, m.full, uint64(80<<20))
	twice, err := memoryOf(Sizes{Flows: 1 << 20}, 2)
	require.NoError(t, err)
	assert.Equal(t, m.loaded+(1<<20-65536)*(104+16), twice.loaded, "as the comment says: 104 bytes, and 16 to find them")
	assertSays(t, "README.md", `defaults a node with two CPUs takes (\d+) MiB when loaded, (\d+) MiB when every map is full`, m.loaded, m.full)
	assertSays(t, "kube/README.md", `; the maps take (\d+) MiB\.`, m.loaded)
}

// assertSays checks that a document has the pattern, with these numbers of bytes as MiB, give or take two.
func assertSays(t *testing.T, file, pattern string, bytes ...uint64) {
	t.Helper()
	text, err := documents.ReadFile(file)
	require.NoError(t, err)
	found := regexp.MustCompile(pattern).FindStringSubmatch(strings.Join(strings.Fields(string(text)), " "))
	require.Len(t, found, 1+len(bytes), "%s does not say %s", file, pattern)
	for i, n := range bytes {
		says, err := strconv.Atoi(found[i+1])
		require.NoError(t, err)
		assert.InDelta(t, float64(n)/(1<<20), says, 2, "%s: %s", file, found[0])
	}
}

// TestMemoryIsWhatTheKernelSays compares the sum with what the kernel counts for each map.
func TestMemoryIsWhatTheKernelSays(t *testing.T) {
	d := newMaps(t, Sizes{})
	cpus, err := ebpf.PossibleCPU()
	require.NoError(t, err)
	var sum uint64
	for name, m := range d.objects.DatapathMaps.ByName() {
		info, err := (*m).Info()
		require.NoError(t, err)
		used, ok := info.Memlock()
		if (!ok || used == 0) && (*m).Type() != ebpf.LPMTrie {
			t.Skipf("needs Linux 6.4: the kernel does not tell the memory of map %s", name)
		}
		sum += used
	}
	want, err := memoryOf(Sizes{}, cpus)
	require.NoError(t, err)
	assert.InEpsilon(t, want.loaded, sum, 0.02)
}

// tenThousand are the sizes that kube/README.md gives for 10,000 services of 10 backends each.
var tenThousand = Sizes{Services: 16384, Backends: 131072}

// TestTenThousandServices: they fit, and what changes among them within a second; all maps of a node with 64 CPUs take 256 MiB at
// most, full ones of flows included.
func TestTenThousandServices(t *testing.T) {
	s := tenThousand.WithDefaults()
	const services, backends, changes = 10000, 10, 1000
	assert.GreaterOrEqual(t, s.Services, uint32(1+services+changes))
	assert.GreaterOrEqual(t, s.Frontends, uint32(4*services), "an address, a NodePort, and both guards")
	assert.GreaterOrEqual(t, s.Backends, uint32(1+(services+changes)*backends))
	assert.GreaterOrEqual(t, s.Slots, (services+changes)*bpf.RowsOf(backends))
	for cpus, says := range map[int]string{
		2:  `take (\d+) MiB on a node with 2 CPUs, at most (\d+) MiB when all are full`,
		64: `with 64 CPUs, as counters are per CPU, (\d+) MiB and (\d+) MiB`,
	} {
		m, err := memoryOf(tenThousand, cpus)
		require.NoError(t, err)
		assert.Less(t, m.full, uint64(256<<20))
		assertSays(t, "kube/README.md", says, m.loaded, m.full)
	}
	text, err := documents.ReadFile("kube/README.md")
	require.NoError(t, err)
	assert.Contains(t, string(text), fmt.Sprintf("sizes: {services: %d, backends: %d}", tenThousand.Services, tenThousand.Backends))
}

func TestAllMapsHaveSizes(t *testing.T) {
	spec, err := bpf.LoadDatapath()
	require.NoError(t, err)
	sized := Sizes{}.Capacities()
	for name, m := range spec.Maps {
		if m.MaxEntries > 64 { // others are scratch, or of as many entries as an enum has values
			assert.Contains(t, sized, name, "it has no size of its own")
		}
	}
}

// memory is what a node's maps take in the kernel, in bytes.
type memory struct {
	loaded uint64 // when they are made
	full   uint64 // when no entry is free any more
}

// Sizes of the kernel's own structs (kernel/bpf/hashtab.c, lpm_trie.c, ringbuf.c, 64 bit).
const (
	hashElement = 48 // struct htab_elem, before key and value
	hashBucket  = 16 // struct bucket; there is a power of two of them
	hashFree    = 8  // struct llist_node, of an element that is made when it is needed
	trieNode    = 40 // struct lpm_trie_node, before the key's data and the value
	ringPages   = 3  // consumer's and producer's page, and one more
	pageBytes   = 4096
)

// memoryOf sums what the maps of these sizes take on a machine of so many CPUs, but for a few hundred bytes a map. It is pure.
func memoryOf(s Sizes, cpus int) (memory, error) {
	spec, err := bpf.LoadDatapath()
	if err != nil {
		return memory{}, fmt.Errorf("sum memory: %w", err)
	}
	for name, entries := range s.WithDefaults().Capacities() {
		spec.Maps[name].MaxEntries = entries
	}
	var sum memory
	for _, m := range spec.Maps {
		one := memoryOfMap(m, uint64(cpus))
		sum.loaded += one.loaded
		sum.full += one.full
	}
	return sum, nil
}

// memoryOfMap is what one map takes.
func memoryOfMap(m *ebpf.MapSpec, cpus uint64) memory {
	entries, key, value := uint64(m.MaxEntries), roundUp(m.KeySize), roundUp(m.ValueSize)
	switch m.Type {
	case ebpf.Array:
		return memory{entries * value, entries * value}
	case ebpf.PerCPUArray:
		return memory{entries * (value*cpus + 8), entries * (value*cpus + 8)}
	case ebpf.LRUHash:
		all := entries*(hashElement+key+value) + buckets(entries)
		return memory{all, all}
	case ebpf.Hash:
		return memory{buckets(entries), buckets(entries) + entries*(hashElement+key+value+hashFree)}
	case ebpf.LPMTrie:
		// Where two prefixes part there can be a node that is no entry.
		return memory{0, 2 * entries * powerOfTwo(trieNode+uint64(m.KeySize)-4+uint64(m.ValueSize))}
	case ebpf.RingBuf:
		return memory{entries + ringPages*pageBytes, entries + ringPages*pageBytes}
	}
	return memory{}
}

func buckets(entries uint64) uint64 { return hashBucket * powerOfTwo(entries) }

// powerOfTwo is the next one from n on, n from 1 on.
func powerOfTwo(n uint64) uint64 { return 1 << bits.Len64(n-1) }

// roundUp is to the next 8 bytes.
func roundUp(n uint32) uint64 { return (uint64(n) + 7) &^ 7 }

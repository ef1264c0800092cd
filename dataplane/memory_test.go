package dataplane

import (
	"embed"
	"fmt"
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
	m, err := MemoryOf(Sizes{}, 2)
	require.NoError(t, err)
	assert.Less(t, m.Loaded, uint64(60<<20), "dozens of nodes fit on a laptop")
	assert.Less(t, m.Full, uint64(80<<20))
	twice, err := MemoryOf(Sizes{Flows: 1 << 20}, 2)
	require.NoError(t, err)
	assert.Equal(t, m.Loaded+(1<<20-65536)*(104+16), twice.Loaded, "as the comment says: 104 bytes, and 16 to find them")
	assertSays(t, "README.md", `defaults a node with two CPUs takes (\d+) MiB when loaded, (\d+) MiB when every map is full`, m.Loaded, m.Full)
	assertSays(t, "kube/README.md", `; the maps take (\d+) MiB\.`, m.Loaded)
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
	want, err := MemoryOf(Sizes{}, cpus)
	require.NoError(t, err)
	assert.InEpsilon(t, want.Loaded, sum, 0.02)
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
		m, err := MemoryOf(tenThousand, cpus)
		require.NoError(t, err)
		assert.Less(t, m.Full, uint64(256<<20))
		assertSays(t, "kube/README.md", says, m.Loaded, m.Full)
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

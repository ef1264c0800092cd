package dataplane

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

func TestDefaultsAreModest(t *testing.T) {
	m, err := Sizes{}.Memory(2)
	require.NoError(t, err)
	assert.Less(t, m.Loaded, uint64(60<<20), "dozens of nodes fit on a laptop")
	assert.Less(t, m.Full, uint64(72<<20))
	twice, err := Sizes{Flows: 1 << 20}.Memory(2)
	require.NoError(t, err)
	assert.Equal(t, m.Loaded+(1<<20-65536)*(104+16), twice.Loaded, "as the comment says: 104 bytes, and 16 to find them")
	t.Logf("defaults: %.1f MiB loaded, %.1f MiB full", float64(m.Loaded)/(1<<20), float64(m.Full)/(1<<20))
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
	want, err := Sizes{}.Memory(cpus)
	require.NoError(t, err)
	assert.InEpsilon(t, want.Loaded, sum, 0.02)
}

func TestSizesNameTheirMaps(t *testing.T) {
	assert.Equal(t, "sizes.slots", sizeOf(bpf.DatapathMapSlots))
	assert.Equal(t, "sizes.services", sizeOf(bpf.DatapathMapServiceCounters))
	spec, err := bpf.LoadDatapath()
	require.NoError(t, err)
	sized := make(map[string]bool)
	for _, f := range new(Sizes).fields() {
		for _, name := range f.maps {
			sized[name] = true
		}
	}
	for name, m := range spec.Maps {
		if m.MaxEntries > 64 { // others are scratch, or of as many entries as an enum has values
			assert.True(t, sized[name], "map %s has no size of its own", name)
		}
	}
}

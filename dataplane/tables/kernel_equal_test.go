package tables

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// checkEqual checks that the mirror equals the maps.
func (k *kernel) checkEqual(t *testing.T, m *Mirror) {
	t.Helper()
	require.Equal(t, k.pods, written(m.pods))
	require.Equal(t, k.nodes, written(m.nodes))
	require.Equal(t, k.cluster, written(m.cluster))
	require.Equal(t, k.local, written(m.local))
	require.Equal(t, k.ranges, written(m.ranges))
	require.Equal(t, k.frontends, written(m.frontends))
	names := written(m.ports.names)
	for number, name := range k.names {
		if number != 0 {
			require.Equal(t, name, names[number])
			delete(names, number)
		}
	}
	require.Empty(t, names)
	used := make(map[uint32]bpf.DatapathBackend)
	for _, e := range m.backends.entries {
		used[e.number] = e.written
	}
	for number, value := range k.backends {
		if value.Serial != 0 {
			require.Equal(t, value, used[number])
			delete(used, number)
		}
	}
	require.Empty(t, used)
}

func written[K, V comparable](s *refmap[K, V]) map[K]V {
	all := make(map[K]V)
	for key, e := range s.entries {
		if e.present {
			all[key] = e.written
		}
	}
	return all
}

package dataplane

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// checkEqual holds that the book says what the maps hold.
func (k *kernel) checkEqual(t *testing.T, b *book) {
	t.Helper()
	require.Equal(t, k.pods, written(b.pods))
	require.Equal(t, k.nodes, written(b.nodes))
	require.Equal(t, k.cluster, written(b.cluster))
	require.Equal(t, k.local, written(b.local))
	require.Equal(t, k.ranges, written(b.ranges))
	require.Equal(t, k.frontends, written(b.frontends))
	names := written(b.ports.names)
	for number, name := range k.names {
		if number != 0 {
			require.Equal(t, name, names[number])
			delete(names, number)
		}
	}
	require.Empty(t, names)
	used := make(map[uint32]datapathBackend)
	for _, e := range b.backends.entries {
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

func written[K, V comparable](s *shelf[K, V]) map[K]V {
	all := make(map[K]V)
	for key, e := range s.entries {
		if e.installed {
			all[key] = e.written
		}
	}
	return all
}

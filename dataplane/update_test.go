package dataplane

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// simulated is what the maps hold in a test: the same change by change.
type simulated struct {
	installed
	tableAt map[uint32]digest // index to table
}

func newSimulated(tables uint32) *simulated {
	return &simulated{
		installed: installed{image: *newImage(), index: make(map[digest]uint32), tables: tables},
		tableAt:   make(map[uint32]digest),
	}
}

// apply carries out one change.
func (s *simulated) apply(t *testing.T, c change) {
	t.Helper()
	switch c.mapName {
	case datapathMapPods4:
		set(s.pods, c)
	case datapathMapNodes4:
		set(s.nodes, c)
	case datapathMapBackends4:
		set(s.backends, c)
	case datapathMapLocalBackends4:
		set(s.localBackends, c)
	case datapathMapMaglev:
		index := c.key.(uint32)
		if c.delete {
			delete(s.index, s.tableAt[index])
			delete(s.image.tables, s.tableAt[index])
			delete(s.tableAt, index)
			return
		}
		at := c.value.(tableAt)
		require.NotContains(t, s.tableAt, index, "a table that is there is never overwritten")
		s.index[at.digest], s.tableAt[index], s.image.tables[at.digest] = index, at.digest, at.table
	case datapathMapFrontends4:
		key := c.key.(datapathService4Key)
		if c.delete {
			delete(s.frontends, key)
			return
		}
		value := c.value.(datapathFrontend)
		entry := frontendEntry{datapathFrontend: value}
		if value.Backends > 0 {
			entry.table = s.tableAt[value.Table]
		}
		s.frontends[key] = entry
	default:
		require.Fail(t, "unknown map", c.mapName)
	}
}

func set[K comparable, V any](m map[K]V, c change) {
	if c.delete {
		delete(m, c.key.(K))
		return
	}
	m[c.key.(K)] = c.value.(V)
}

// check holds what must be true at every moment: a packet that finds a frontend finds its table, every backend in it, and
// for a local backend its pod.
func (s *simulated) check(t *testing.T, after change) {
	t.Helper()
	for key, f := range s.frontends {
		if f.Backends == 0 {
			continue
		}
		table, ok := s.image.tables[f.table]
		require.True(t, ok, "frontend %+v has no table after %s", key, after)
		for _, i := range table.backends {
			b, ok := s.backends[table.ids[i]]
			require.True(t, ok, "frontend %+v has a backend without entry after %s", key, after)
			if b.Flags&uint8(datapathBackendFlagsBACKEND_LOCAL) != 0 {
				require.Contains(t, s.pods, b.Addr, "after %s", after)
				require.Contains(t, s.localBackends, datapathService4Key{Addr: b.Addr, Port: b.Port, Protocol: b.Protocol}, "after %s", after)
			}
		}
	}
}

// randomState has some services with some backends of some pods.
func randomState(r *rand.Rand) State {
	s := State{Node: "n0", Nodes: []Node{{Address: lbNode}, {Address: podNode, NextHop: podNodeMAC}}, Tables: &services.Tables{TableSize: 251}}
	for i := range 6 {
		if r.IntN(4) == 0 {
			continue
		}
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 2)})
		node := fmt.Sprintf("n%d", i%2)
		s.Tables.Backends = append(s.Tables.Backends, services.Backend{
			Address: addr, Port: 80, Protocol: services.TCP, Node: node, NodeAddress: s.Nodes[i%2].Address, Weight: uint32(1 + r.IntN(3)),
		})
		if node == s.Node {
			s.Pods = append(s.Pods, Pod{Address: addr, Device: i + 2, MAC: podMAC, NodeMAC: vethMAC})
		}
	}
	for i := range 5 {
		if r.IntN(4) == 0 {
			continue
		}
		f := services.Frontend{
			Address: netip.AddrFrom4([4]byte{185, 150, 8, byte(i)}), Port: 80, Protocol: services.TCP, Kind: services.KindLoadBalancer,
			Mode: services.ModeDSR, LocalOnly: r.IntN(3) == 0,
		}
		for b := range s.Tables.Backends {
			if r.IntN(2) == 0 {
				f.Backends = append(f.Backends, b)
			}
		}
		s.Tables.Frontends = append(s.Tables.Frontends, f)
	}
	return s
}

func TestUpdateIsWholeAtEveryStep(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := newSimulated(16)
	for range 300 {
		want, err := compile(randomState(r))
		require.NoError(t, err)
		changes, err := planUpdate(&s.installed, want)
		require.NoError(t, err)
		for _, c := range changes {
			s.apply(t, c)
			s.check(t, c)
		}
		assert.Equal(t, want.pods, s.pods)
		assert.Equal(t, want.nodes, s.nodes)
		assert.Equal(t, want.backends, s.backends)
		assert.Equal(t, want.localBackends, s.localBackends)
		assert.Len(t, s.frontends, len(want.frontends))
		assert.Len(t, s.index, len(want.tables))

		again, err := planUpdate(&s.installed, want)
		require.NoError(t, err)
		assert.Empty(t, again, "nothing is left to do")
	}
}

func TestUpdateOrder(t *testing.T) {
	empty := newSimulated(16)
	full, err := compile(world("worker", services.ModeDSR))
	require.NoError(t, err)
	assert.Equal(t, []string{
		datapathMapPods4, datapathMapNodes4, datapathMapBackends4, datapathMapLocalBackends4, datapathMapMaglev, datapathMapFrontends4,
	}, order(t, empty, full), "what is referred to comes first")
	assert.Equal(t, []string{
		datapathMapFrontends4, datapathMapMaglev, datapathMapBackends4, datapathMapLocalBackends4, datapathMapNodes4, datapathMapPods4,
	}, order(t, empty, newImage()), "and goes last")
}

// order applies want and returns the maps in the order in which they were changed.
func order(t *testing.T, s *simulated, want *image) []string {
	changes, err := planUpdate(&s.installed, want)
	require.NoError(t, err)
	var names []string
	for _, c := range changes {
		if len(names) == 0 || names[len(names)-1] != c.mapName {
			names = append(names, c.mapName)
		}
		s.apply(t, c)
	}
	return names
}

func TestUpdateTooManyTables(t *testing.T) {
	want, err := compile(world("worker", services.ModeDSR))
	require.NoError(t, err)
	_, err = planUpdate(&newSimulated(2).installed, want)
	assert.EqualError(t, err, "more than 2 different sets of backends: raise Sizes.Tables")
}

func TestBackendsKeepTheirIDs(t *testing.T) {
	state := world("worker", services.ModeDSR)
	before, err := compile(state)
	require.NoError(t, err)
	state.Tables.Backends = state.Tables.Backends[1:]
	state.Tables.Frontends = nil
	after, err := compile(state)
	require.NoError(t, err)
	for id, b := range after.backends {
		assert.Equal(t, before.backends[id], b)
	}
}

// BenchmarkMaglevTable builds what one changed service costs.
func BenchmarkMaglevTable(b *testing.B) {
	want, err := compile(world("worker", services.ModeDSR))
	require.NoError(b, err)
	for b.Loop() {
		for _, t := range want.tables {
			t.slots()
			break
		}
	}
}

package dataplane

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// kernel is what the maps hold in a test: the same change by change.
type kernel struct {
	capacities capacities
	pods       map[datapathAddress]datapathPod
	nodes      map[datapathAddress]datapathNode
	cluster    map[datapathClusterKey]uint8
	names      map[uint32]datapathServiceName
	local      map[datapathServiceKey]datapathPod
	ranges     map[datapathRangeKey]uint8
	frontends  map[datapathServiceKey]datapathFrontend
	backends   map[uint32]datapathBackend
	rows       map[uint32]datapathRow
	serials    map[uint32]uint32 // the last of each backend number
	freed      map[string]bool   // what must not be used again yet
}

func newKernel(c capacities) *kernel {
	return &kernel{
		capacities: c,
		pods:       make(map[datapathAddress]datapathPod),
		nodes:      make(map[datapathAddress]datapathNode),
		cluster:    make(map[datapathClusterKey]uint8),
		names:      make(map[uint32]datapathServiceName),
		local:      make(map[datapathServiceKey]datapathPod),
		ranges:     make(map[datapathRangeKey]uint8),
		frontends:  make(map[datapathServiceKey]datapathFrontend),
		backends:   make(map[uint32]datapathBackend),
		rows:       make(map[uint32]datapathRow),
		serials:    make(map[uint32]uint32),
		freed:      make(map[string]bool),
	}
}

// make carries out one change. What was freed must stay in quarantine before it is used again.
func (k *kernel) make(t *testing.T, c change) {
	t.Helper()
	if c.wait {
		clear(k.freed)
		return
	}
	switch c.mapName {
	case datapathMapPods:
		put(k.pods, c)
	case datapathMapNodes:
		put(k.nodes, c)
	case datapathMapCluster:
		put(k.cluster, c)
	case datapathMapServiceNames:
		put(k.names, c)
	case datapathMapLocalBackends:
		put(k.local, c)
	case datapathMapRanges:
		put(k.ranges, c)
	case datapathMapFrontends:
		put(k.frontends, c)
	case datapathMapBackends:
		k.putBackend(t, c)
	case datapathMapSlots:
		k.putTable(t, c)
	case datapathMapServiceCounters, datapathMapAffinities:
	default:
		require.Fail(t, "unknown map", c.mapName)
	}
}

func put[K comparable, V any](m map[K]V, c change) {
	if c.delete {
		delete(m, c.key.(K))
		return
	}
	m[c.key.(K)] = c.value.(V)
}

func (k *kernel) putBackend(t *testing.T, c change) {
	number, value := c.key.(uint32), c.value.(datapathBackend)
	old := k.backends[number]
	name := fmt.Sprintf("backend %d", number)
	require.NotZero(t, number)
	switch {
	case value.Serial == 0:
		require.Equal(t, old.Address, value.Address, "packets on their way still find the address")
		k.freed[name] = true
	case old.Serial == 0:
		require.NotContains(t, k.freed, name, "%s is used again too early", name)
		require.NotEqual(t, k.serials[number], value.Serial, "old flows follow to another backend")
	default:
		require.Equal(t, old.Serial, value.Serial, "flows are lost")
		require.Equal(t, [...]any{old.Address, old.Port, old.Protocol, old.Node},
			[...]any{value.Address, value.Port, value.Protocol, value.Node}, "flows follow to another backend")
	}
	if value.Serial != 0 {
		k.serials[number] = value.Serial
	}
	k.backends[number] = value
}

func (k *kernel) putTable(t *testing.T, c change) {
	first, rows := c.key.(uint32), c.value.([]datapathRow)
	for i, row := range rows {
		at := first + uint32(i)
		require.Less(t, at, k.capacities[datapathMapSlots])
		require.NotContains(t, k.freed, fmt.Sprintf("row %d", at), "a row is used again too early")
		for key, f := range k.frontends {
			for _, set := range []datapathBackendSet{f.Outside, f.Inside} {
				require.False(t, set.Size > 0 && at >= set.First && at < set.First+rowsOf(set.Size),
					"row %d of frontend %s is overwritten", at, keyText(key))
			}
		}
		k.rows[at] = row
	}
}

// frees notes rows that no frontend has any more.
func (k *kernel) frees(before, after datapathFrontend) {
	for _, set := range []datapathBackendSet{before.Outside, before.Inside} {
		if set == after.Outside || set == after.Inside || k.refers(set) {
			continue
		}
		for i := range rowsOf(set.Size) {
			k.freed[fmt.Sprintf("row %d", set.First+i)] = true
		}
	}
}

func (k *kernel) refers(set datapathBackendSet) bool {
	for _, f := range k.frontends {
		if f.Outside == set || f.Inside == set {
			return true
		}
	}
	return false
}

// view is what a packet to a frontend meets, all numbers resolved.
func (k *kernel) view(key datapathServiceKey) (string, error) {
	f, ok := k.frontends[key]
	if !ok {
		return "none", nil
	}
	if f.Kind == uint8(datapathFrontendKindFRONTEND_GUARD) {
		return "guard", nil
	}
	name, ok := k.names[f.Service]
	if !ok {
		return "", fmt.Errorf("service %d has no name", f.Service)
	}
	outside, err := k.viewSet(f.Outside)
	if err != nil {
		return "", err
	}
	inside, err := k.viewSet(f.Inside)
	if err != nil {
		return "", err
	}
	if f.Flags&uint8(datapathFrontendFlagsFRONTEND_RANGES) != 0 && !k.hasRange(f.Service) {
		return "", errors.New("source ranges are gone")
	}
	f.Outside, f.Inside, f.Service = datapathBackendSet{}, datapathBackendSet{}, 0
	return fmt.Sprintf("%s %+v outside %s inside %s", name, f, outside, inside), nil
}

func (k *kernel) hasRange(service uint32) bool {
	for key := range k.ranges {
		if key.Service == service {
			return true
		}
	}
	return false
}

// viewSet resolves a table: who has how many slots.
func (k *kernel) viewSet(set datapathBackendSet) (string, error) {
	slots := make(map[uint32]int)
	for i := range set.Size {
		slots[k.rows[set.First+i/16].Backend[i%16]]++
	}
	var lines []string
	for number, n := range slots {
		b := k.backends[number]
		if b.Serial == 0 {
			return "", fmt.Errorf("backend %d is free", number)
		}
		key := datapathServiceKey{Address: b.Address, Port: b.Port, Protocol: b.Protocol}
		lines = append(lines, fmt.Sprintf("%s*%d@%v", keyText(key), n, b.Node.address()))
	}
	slices.Sort(lines)
	return strings.Join(lines, ","), nil
}

// makeWhole carries out a plan and checks what must be true at every moment: a packet meets each frontend with all that it
// refers to, and if strict as it was before or as it is after.
func (k *kernel) makeWhole(t *testing.T, changes []change, strict bool) {
	t.Helper()
	before, after := make(map[datapathServiceKey]string), make(map[datapathServiceKey]string)
	for key := range k.frontends {
		before[key] = "none"
	}
	for _, c := range changes {
		if c.mapName == datapathMapFrontends {
			before[c.key.(datapathServiceKey)] = "none"
		}
	}
	for key := range before {
		var err error
		before[key], err = k.view(key)
		require.NoError(t, err)
	}
	for _, c := range changes {
		k.makeOne(t, c)
		for key := range before {
			view, err := k.view(key)
			require.NoError(t, err, "frontend %s after %s", keyText(key), c)
			if view == before[key] && after[key] == "" || !strict {
				continue
			}
			if after[key] == "" {
				after[key] = view
			}
			require.Equal(t, after[key], view, "frontend %s is neither as before nor as after, after %s", keyText(key), c)
		}
	}
}

// makeOne carries out one change, and notes the rows that it frees.
func (k *kernel) makeOne(t *testing.T, c change) {
	t.Helper()
	if c.mapName != datapathMapFrontends {
		k.make(t, c)
		return
	}
	key := c.key.(datapathServiceKey)
	old := k.frontends[key]
	k.make(t, c)
	k.frees(old, k.frontends[key])
	for _, set := range []datapathBackendSet{k.frontends[key].Outside, k.frontends[key].Inside} {
		for i := range set.Size {
			k.checkLocal(t, k.backends[k.rows[set.First+i/16].Backend[i%16]])
		}
	}
}

// checkLocal checks that a frontend that gets a local backend finds it delivered to, if its pod is known.
func (k *kernel) checkLocal(t *testing.T, b datapathBackend) {
	t.Helper()
	pod, known := k.pods[b.Address]
	if known && b.Flags&uint8(datapathBackendFlagsBACKEND_LOCAL) != 0 {
		require.Equal(t, pod, k.local[datapathServiceKey{Address: b.Address, Port: b.Port, Protocol: b.Protocol}])
	}
}

package tables

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// kernel is what the maps hold in a test: the same change by change.
type kernel struct {
	capacities Capacities
	pods       map[bpf.DatapathAddress]bpf.DatapathPod
	nodes      map[bpf.DatapathAddress]bpf.DatapathNode
	cluster    map[bpf.DatapathClusterKey]uint8
	names      map[uint32]bpf.DatapathServiceName
	local      map[bpf.DatapathServiceKey]bpf.DatapathPod
	ranges     map[bpf.DatapathRangeKey]uint8
	frontends  map[bpf.DatapathServiceKey]bpf.DatapathFrontend
	backends   map[uint32]bpf.DatapathBackend
	rows       map[uint32]bpf.DatapathRow
	serials    map[uint32]uint32            // the last of each backend number
	freed      map[string]bool              // what must not be used again yet
	going      map[bpf.DatapathAddress]bool // pods that the plan deletes in the end
	counts     map[bpf.DatapathBackendSet]map[uint32]int
}

func newKernel(c Capacities) *kernel {
	return &kernel{
		capacities: c,
		pods:       make(map[bpf.DatapathAddress]bpf.DatapathPod),
		nodes:      make(map[bpf.DatapathAddress]bpf.DatapathNode),
		cluster:    make(map[bpf.DatapathClusterKey]uint8),
		names:      make(map[uint32]bpf.DatapathServiceName),
		local:      make(map[bpf.DatapathServiceKey]bpf.DatapathPod),
		ranges:     make(map[bpf.DatapathRangeKey]uint8),
		frontends:  make(map[bpf.DatapathServiceKey]bpf.DatapathFrontend),
		backends:   make(map[uint32]bpf.DatapathBackend),
		rows:       make(map[uint32]bpf.DatapathRow),
		serials:    make(map[uint32]uint32),
		freed:      make(map[string]bool),
		counts:     make(map[bpf.DatapathBackendSet]map[uint32]int),
	}
}

// make carries out one change. What was freed must stay in quarantine before it is used again.
func (k *kernel) make(t *testing.T, c Change) {
	t.Helper()
	if c.Wait {
		clear(k.freed)
		return
	}
	switch c.Map {
	case bpf.DatapathMapPods:
		put(k.pods, c)
	case bpf.DatapathMapNodes:
		put(k.nodes, c)
	case bpf.DatapathMapCluster:
		put(k.cluster, c)
	case bpf.DatapathMapServiceNames:
		put(k.names, c)
	case bpf.DatapathMapLocalBackends:
		put(k.local, c)
	case bpf.DatapathMapRanges:
		put(k.ranges, c)
	case bpf.DatapathMapFrontends:
		put(k.frontends, c)
	case bpf.DatapathMapBackends:
		k.putBackend(t, c)
	case bpf.DatapathMapSlots:
		k.putSet(t, c)
	case bpf.DatapathMapServiceCounters, bpf.DatapathMapAffinities:
	default:
		require.Fail(t, "unknown map", c.Map)
	}
}

func put[K comparable, V any](m map[K]V, c Change) {
	if c.Delete {
		delete(m, c.Key.(K))
		return
	}
	m[c.Key.(K)] = c.Value.(V)
}

func (k *kernel) putBackend(t *testing.T, c Change) {
	number, value := c.Key.(uint32), c.Value.(bpf.DatapathBackend)
	old := k.backends[number]
	name := fmt.Sprintf("backend %d", number)
	require.NotZero(t, number)
	switch {
	case value.Serial == 0:
		require.Equal(t, old.Address, value.Address, "packets on their way still find the address")
		k.freed[name] = true
	case old.Serial == 0:
		require.False(t, k.freed[name], "%s is used again too early", name)
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

func (k *kernel) putSet(t *testing.T, c Change) {
	first, rows := c.Key.(uint32), c.Value.([]bpf.DatapathRow)
	for i, row := range rows {
		at := first + uint32(i)
		require.Less(t, at, k.capacities[bpf.DatapathMapSlots])
		require.False(t, k.freed[fmt.Sprintf("row %d", at)], "a row is used again too early")
		k.rows[at] = row
	}
	for key, f := range k.frontends {
		for _, set := range []bpf.DatapathBackendSet{f.Outside, f.Inside} {
			require.False(t, set.Size > 0 && first < set.First+bpf.RowsOf(set.Size) && set.First < first+uint32(len(rows)),
				"rows of frontend %s are overwritten", keyText(key))
		}
	}
	maps.DeleteFunc(k.counts, func(set bpf.DatapathBackendSet, _ map[uint32]int) bool {
		return first < set.First+bpf.RowsOf(set.Size) && set.First < first+uint32(len(rows))
	})
}

// frees notes rows that no frontend has any more.
func (k *kernel) frees(before, after bpf.DatapathFrontend) {
	for _, set := range []bpf.DatapathBackendSet{before.Outside, before.Inside} {
		if set == after.Outside || set == after.Inside || k.refers(set) {
			continue
		}
		for i := range bpf.RowsOf(set.Size) {
			k.freed[fmt.Sprintf("row %d", set.First+i)] = true
		}
	}
}

func (k *kernel) refers(set bpf.DatapathBackendSet) bool {
	for _, f := range k.frontends {
		if f.Outside == set || f.Inside == set {
			return true
		}
	}
	return false
}

// view is what a packet to a frontend meets, all numbers resolved.
func (k *kernel) view(key bpf.DatapathServiceKey) (string, error) {
	f, ok := k.frontends[key]
	if !ok {
		return "none", nil
	}
	if f.Kind == uint8(bpf.DatapathFrontendKindFRONTEND_GUARD) {
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
	if f.Flags&uint8(bpf.DatapathFrontendFlagsFRONTEND_RANGES) != 0 && !k.hasRange(f.Service) {
		return "", errors.New("source ranges are gone")
	}
	f.Outside, f.Inside, f.Service = bpf.DatapathBackendSet{}, bpf.DatapathBackendSet{}, 0
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

// count is how many slots of a table each backend has. It is remembered until the table changes: they are large.
func (k *kernel) count(set bpf.DatapathBackendSet) map[uint32]int {
	count := k.counts[set]
	if count == nil {
		count = make(map[uint32]int)
		for i := range set.Size {
			count[bpf.BackendAt(set, i, func(row uint32) bpf.DatapathRow { return k.rows[row] })]++
		}
		k.counts[set] = count
	}
	return count
}

// viewSet resolves a set of backends: who has how much of it.
func (k *kernel) viewSet(set bpf.DatapathBackendSet) (string, error) {
	var lines []string
	for number, n := range k.count(set) {
		b := k.backends[number]
		if b.Serial == 0 {
			return "", fmt.Errorf("backend %d is free", number)
		}
		key := bpf.DatapathServiceKey{Address: b.Address, Port: b.Port, Protocol: b.Protocol}
		lines = append(lines, fmt.Sprintf("%s*%d@%v", keyText(key), n, b.Node.Addr()))
	}
	slices.Sort(lines)
	return strings.Join(lines, ","), nil
}

// makeWhole carries out a plan and checks what must be true at every moment: a packet meets each frontend with all that it
// refers to, and if strict as it was before or as it is after.
func (k *kernel) makeWhole(t *testing.T, changes []Change, strict bool) {
	t.Helper()
	before, after := make(map[bpf.DatapathServiceKey]string), make(map[bpf.DatapathServiceKey]string)
	for key := range k.frontends {
		before[key] = "none"
	}
	k.going = make(map[bpf.DatapathAddress]bool)
	for _, c := range changes {
		if c.Map == bpf.DatapathMapPods && c.Delete {
			k.going[c.Key.(bpf.DatapathAddress)] = true
		}
		if c.Map == bpf.DatapathMapFrontends {
			before[c.Key.(bpf.DatapathServiceKey)] = "none"
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
func (k *kernel) makeOne(t *testing.T, c Change) {
	t.Helper()
	if c.Map != bpf.DatapathMapFrontends {
		k.make(t, c)
		return
	}
	key := c.Key.(bpf.DatapathServiceKey)
	old := k.frontends[key]
	k.make(t, c)
	k.frees(old, k.frontends[key])
	for _, set := range []bpf.DatapathBackendSet{k.frontends[key].Outside, k.frontends[key].Inside} {
		for number := range k.count(set) {
			k.checkLocal(t, k.backends[number])
		}
	}
}

// checkLocal checks that a frontend that gets a local backend finds it delivered to, if its pod is known, and stays.
func (k *kernel) checkLocal(t *testing.T, b bpf.DatapathBackend) {
	t.Helper()
	pod, known := k.pods[b.Address]
	if known && !k.going[b.Address] && b.Flags&uint8(bpf.DatapathBackendFlagsBACKEND_LOCAL) != 0 {
		require.Equal(t, pod, k.local[bpf.DatapathServiceKey{Address: b.Address, Port: b.Port, Protocol: b.Protocol}])
	}
}

package dataplane

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// smallSizes make maps that are quickly made.
var smallSizes = Sizes{
	Frontends: 64, Backends: 64, Slots: 16384, Flows: 1024, SNATPorts: 1024, Replies: 1024, Pods: 16, LocalBackends: 64, Nodes: 16,
	Services: 64, Ranges: 64, Affinities: 1024, Events: 1 << 9,
}

// nodeConfig is the configuration of a node of a packet test.
func nodeConfig(t testing.TB, addresses []netip.Addr, change ...func(*Config)) Config {
	t.Helper()
	config := Config{Addresses: addresses, Device: "lo", PinDir: "-", Sizes: smallSizes, Hook: HookXDP}
	for _, c := range change {
		c(&config)
	}
	config, err := config.withDefaults()
	require.NoError(t, err)
	return config
}

// loadNode loads a node's programs without attaching them.
func loadNode(t testing.TB, config Config) bpf.DatapathObjects {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loads BPF programs")
	}
	require.NoError(t, rlimit.RemoveMemlock())
	spec, err := specOf(config, &net.Interface{Index: 1, HardwareAddr: nodeMAC})
	require.NoError(t, err)
	var d DataPath
	collection, err := ebpf.NewCollection(spec)
	require.NoError(t, err)
	d.assign(collection)
	collection.Close()
	return d.objects
}

// newNode is a node that no test had before. Closed when the test ends.
func newNode(t testing.TB, addresses []netip.Addr, state State, change ...func(*Config)) *DataPath {
	t.Helper()
	d := &DataPath{objects: loadNode(t, nodeConfig(t, addresses, change...))}
	t.Cleanup(func() { d.Close() })
	_, err := d.Apply(state)
	require.NoError(t, err)
	return d
}

// spareNodes are loaded nodes that tests are done with, by their configuration. Most of a packet test's time would go into the
// verification of programs, so they are emptied and used again. They are never closed.
type spareNodes struct {
	mu    sync.Mutex
	nodes map[string][]bpf.DatapathObjects
}

var spares = spareNodes{nodes: make(map[string][]bpf.DatapathObjects)}

// node is a spare one, or one that is loaded now. It is given back when the test ends, with whatever it holds then.
func (s *spareNodes) node(t testing.TB, config Config) bpf.DatapathObjects {
	t.Helper()
	key := fmt.Sprintf("%+v", config)
	s.mu.Lock()
	var node bpf.DatapathObjects
	last := len(s.nodes[key]) - 1
	if last >= 0 {
		node, s.nodes[key] = s.nodes[key][last], s.nodes[key][:last]
	}
	s.mu.Unlock()
	if last < 0 {
		node = loadNode(t, config)
	}
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.nodes[key] = append(s.nodes[key], node)
	})
	if last >= 0 {
		emptyNode(t, node)
	}
	return node
}

// emptyNode makes a node's maps what they were when it was loaded.
func emptyNode(t testing.TB, node bpf.DatapathObjects) {
	t.Helper()
	for name, m := range node.DatapathMaps.ByName() {
		switch name {
		case bpf.DatapathMapSlots: // in one call each, as they are large
			emptyArray[bpf.DatapathRow](t, *m)
		case bpf.DatapathMapBackends:
			emptyArray[bpf.DatapathBackend](t, *m)
		default:
			emptyMap(t, *m)
		}
	}
}

func emptyArray[V any](t testing.TB, m *ebpf.Map) {
	t.Helper()
	keys := make([]uint32, m.MaxEntries())
	for i := range keys {
		keys[i] = uint32(i)
	}
	_, err := m.BatchUpdate(keys, make([]V, len(keys)), nil)
	require.NoError(t, err)
}

func emptyMap(t testing.TB, m *ebpf.Map) {
	t.Helper()
	switch m.Type() {
	case ebpf.Array:
		for i := range m.MaxEntries() {
			require.NoError(t, m.Put(i, make([]byte, m.ValueSize())))
		}
	case ebpf.PerCPUArray:
		zeros := slices.Repeat([][]byte{make([]byte, m.ValueSize())}, ebpf.MustPossibleCPU())
		for i := range m.MaxEntries() {
			require.NoError(t, m.Put(i, zeros))
		}
	case ebpf.RingBuf:
		discard := func([]byte) error { return nil }
		require.NoError(t, readRing(t.Context(), m, false, discard))
	default:
		for _, key := range keysOf(t, m) {
			require.NoError(t, m.Delete(key))
		}
	}
}

func keysOf(t testing.TB, m *ebpf.Map) (keys [][]byte) {
	t.Helper()
	key, err := m.NextKeyBytes(nil)
	for ; key != nil && err == nil; key, err = m.NextKeyBytes(key) {
		keys = append(keys, key)
	}
	require.NoError(t, err)
	return keys
}

// lb is the LB node of the world.
func (w world) lb(t testing.TB, mode services.Mode, change ...func(*Config)) *DataPath {
	t.Helper()
	return w.node(t, w.lbAddresses, w.state("lb", mode), change)
}

// worker is the pod node of the world.
func (w world) worker(t testing.TB, mode services.Mode, change ...func(*Config)) *DataPath {
	t.Helper()
	return w.node(t, w.podsNodes, w.state("worker", mode), change)
}

func (w world) node(t testing.TB, addresses []netip.Addr, state State, change []func(*Config)) *DataPath {
	t.Helper()
	d := &DataPath{objects: spares.node(t, nodeConfig(t, addresses, change...))}
	_, err := d.Apply(state)
	require.NoError(t, err)
	return d
}

// TestSpareNodeIsAsNew: after traffic of all kinds an emptied node holds no more than one that was just loaded.
func TestSpareNodeIsAsNew(t *testing.T) {
	w := worlds()[0]
	config := nodeConfig(t, w.lbAddresses)
	used, fresh := DataPath{objects: loadNode(t, config)}, DataPath{objects: loadNode(t, config)}
	defer used.Close()
	defer fresh.Close()
	_, err := used.Apply(w.state("lb", services.ModeSNAT))
	require.NoError(t, err)
	require.NoError(t, used.objects.Tracing.Put(uint32(0), bpf.DatapathTraceFilter{Client: bpf.WireAddress(w.client), Until: math.MaxInt64}))
	for _, frame := range w.seeds(t) {
		for point := range used.objects.DatapathPrograms.ByName() {
			used.send(t, Direction(point), frame)
		}
	}
	maps, empty := used.objects.DatapathMaps.ByName(), fresh.objects.DatapathMaps.ByName()
	for name, m := range maps {
		if (*m).Type() != ebpf.RingBuf { // which would be read empty
			assert.NotEqual(t, contentOf(t, *empty[name]), contentOf(t, *m), "%s: the traffic leaves something in it", name)
		}
	}
	emptyNode(t, used.objects)
	for name, m := range maps {
		assert.Equal(t, contentOf(t, *empty[name]), contentOf(t, *m), name)
	}
}

// contentOf are a map's entries, or how many records a ring holds.
func contentOf(t *testing.T, m *ebpf.Map) any {
	t.Helper()
	if m.Type() == ebpf.RingBuf {
		records := 0
		require.NoError(t, readRing(t.Context(), m, false, func([]byte) error { records++; return nil }))
		return records
	}
	content := make(map[string][]byte)
	for _, key := range keysOf(t, m) {
		if m.Type() == ebpf.PerCPUArray {
			var values [][]byte
			require.NoError(t, m.Lookup(key, &values))
			content[string(key)] = slices.Concat(values...)
			continue
		}
		value, err := m.LookupBytes(key)
		require.NoError(t, err)
		content[string(key)] = value
	}
	return content
}

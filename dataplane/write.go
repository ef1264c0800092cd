package dataplane

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/tables"
)

// writer makes changes of one map.
type writer interface {
	put(run []tables.Change) error
	delete(run []tables.Change) error
}

// writers are those of all maps that plans change.
func (d *DataPath) writers() map[string]writer {
	o := &d.objects
	return map[string]writer{
		bpf.DatapathMapPods:            entryWriter[bpf.DatapathAddress, bpf.DatapathPod]{o.Pods},
		bpf.DatapathMapNodes:           entryWriter[bpf.DatapathAddress, bpf.DatapathNode]{o.Nodes},
		bpf.DatapathMapCluster:         entryWriter[bpf.DatapathClusterKey, uint8]{o.Cluster},
		bpf.DatapathMapServiceNames:    entryWriter[uint32, bpf.DatapathServiceName]{o.ServiceNames},
		bpf.DatapathMapLocalBackends:   entryWriter[bpf.DatapathServiceKey, bpf.DatapathPod]{o.LocalBackends},
		bpf.DatapathMapBackends:        entryWriter[uint32, bpf.DatapathBackend]{o.Backends},
		bpf.DatapathMapRanges:          entryWriter[bpf.DatapathRangeKey, uint8]{o.Ranges},
		bpf.DatapathMapFrontends:       entryWriter[bpf.DatapathServiceKey, bpf.DatapathFrontend]{o.Frontends},
		bpf.DatapathMapSlots:           rowWriter{o.Slots},
		bpf.DatapathMapServiceCounters: counterWriter{o.ServiceCounters},
		bpf.DatapathMapAffinities:      affinityWriter{o.Affinities},
	}
}

// entryWriter changes entries; many at once where there are many.
type entryWriter[K, V any] struct{ m *ebpf.Map }

func (w entryWriter[K, V]) put(run []tables.Change) error {
	if len(run) == 1 {
		return w.m.Put(run[0].Key.(K), run[0].Value.(V))
	}
	keys, values := make([]K, len(run)), make([]V, len(run))
	for i, c := range run {
		keys[i], values[i] = c.Key.(K), c.Value.(V)
	}
	_, err := w.m.BatchUpdate(keys, values, nil)
	return err
}

func (w entryWriter[K, V]) delete(run []tables.Change) error {
	keys := make([]K, len(run))
	for i, c := range run {
		keys[i] = c.Key.(K)
	}
	if len(run) > 1 {
		if _, err := w.m.BatchDelete(keys, nil); !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
	for _, key := range keys { // one at a time, where one is gone already
		if err := deleteEntry(w.m, key); err != nil {
			return err
		}
	}
	return nil
}

func deleteEntry[K any](m *ebpf.Map, key K) error {
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}

// rowWriter writes sets of backends.
type rowWriter struct{ m *ebpf.Map }

// rowsAtOnce bounds the memory that a batch takes.
const rowsAtOnce = 1 << 15

func (w rowWriter) put(run []tables.Change) error {
	var keys []uint32
	var rows []bpf.DatapathRow
	write := func() error {
		_, err := w.m.BatchUpdate(keys, rows, nil)
		keys, rows = keys[:0], rows[:0]
		return err
	}
	for i, c := range run {
		first := c.Key.(uint32)
		for row, value := range c.Value.([]bpf.DatapathRow) {
			keys, rows = append(keys, first+uint32(row)), append(rows, value)
		}
		if i == len(run)-1 || len(keys) >= rowsAtOnce {
			if err := write(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w rowWriter) delete([]tables.Change) error {
	return fmt.Errorf("delete rows: %w", ebpf.ErrNotSupported)
}

// counterWriter sets counters of all CPUs.
type counterWriter struct{ m *ebpf.Map }

func (w counterWriter) put(run []tables.Change) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	values := make([]bpf.DatapathServiceCounter, cpus)
	for _, c := range run {
		for i := range values {
			values[i] = c.Value.(bpf.DatapathServiceCounter)
		}
		if err := w.m.Put(c.Key.(uint32), values); err != nil {
			return err
		}
	}
	return nil
}

func (w counterWriter) delete([]tables.Change) error {
	return fmt.Errorf("delete counters: %w", ebpf.ErrNotSupported)
}

// affinityWriter ends affinities.
type affinityWriter struct{ m *ebpf.Map }

func (w affinityWriter) put([]tables.Change) error {
	return fmt.Errorf("put affinities: %w", ebpf.ErrNotSupported)
}

func (w affinityWriter) delete(run []tables.Change) error {
	for _, c := range run {
		if err := deleteAffinities(w.m, c.Key.([]tables.AffinityID)); err != nil {
			return err
		}
	}
	return nil
}

// deleteAffinities deletes affinities from the map.
func deleteAffinities(m *ebpf.Map, clients []tables.AffinityID) error {
	gone := make(map[tables.AffinityID]bool, len(clients))
	for _, c := range clients {
		gone[c] = true
	}
	var keys []bpf.DatapathAffinityKey
	err := readEntries(m, func(key bpf.DatapathAffinityKey, value bpf.DatapathAffinity) {
		if gone[tables.AffinityID{Service: key.Service}] || gone[tables.AffinityID{Service: key.Service, Backend: value.Backend}] {
			keys = append(keys, key)
		}
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := deleteEntry(m, key); err != nil {
			return fmt.Errorf("end affinity: %w", err)
		}
	}
	return nil
}

package dataplane

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// writer makes changes of one map.
type writer interface {
	put(run []change) error
	delete(run []change) error
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

func (w entryWriter[K, V]) put(run []change) error {
	if len(run) == 1 {
		return w.m.Put(run[0].key.(K), run[0].value.(V))
	}
	keys, values := make([]K, len(run)), make([]V, len(run))
	for i, c := range run {
		keys[i], values[i] = c.key.(K), c.value.(V)
	}
	_, err := w.m.BatchUpdate(keys, values, nil)
	return err
}

func (w entryWriter[K, V]) delete(run []change) error {
	keys := make([]K, len(run))
	for i, c := range run {
		keys[i] = c.key.(K)
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

func (w rowWriter) put(run []change) error {
	var keys []uint32
	var rows []bpf.DatapathRow
	write := func() error {
		_, err := w.m.BatchUpdate(keys, rows, nil)
		keys, rows = keys[:0], rows[:0]
		return err
	}
	for i, c := range run {
		first := c.key.(uint32)
		for row, value := range c.value.([]bpf.DatapathRow) {
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

func (w rowWriter) delete([]change) error { return fmt.Errorf("delete rows: %w", ebpf.ErrNotSupported) }

// counterWriter sets counters of all CPUs.
type counterWriter struct{ m *ebpf.Map }

func (w counterWriter) put(run []change) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	values := make([]bpf.DatapathServiceCounter, cpus)
	for _, c := range run {
		for i := range values {
			values[i] = c.value.(bpf.DatapathServiceCounter)
		}
		if err := w.m.Put(c.key.(uint32), values); err != nil {
			return err
		}
	}
	return nil
}

func (w counterWriter) delete([]change) error {
	return fmt.Errorf("delete counters: %w", ebpf.ErrNotSupported)
}

// affinityWriter ends affinities.
type affinityWriter struct{ m *ebpf.Map }

func (w affinityWriter) put([]change) error {
	return fmt.Errorf("put affinities: %w", ebpf.ErrNotSupported)
}

func (w affinityWriter) delete(run []change) error {
	for _, c := range run {
		if err := deleteAffinities(w.m, c.key.([]affinityID)); err != nil {
			return err
		}
	}
	return nil
}

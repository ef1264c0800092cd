package dataplane

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/dsrlab/dsrlab/dataplane/tables"
)

// restoreMirror reads back what earlier processes have left in the maps.
func (d *DataPath) restoreMirror() (*tables.Mirror, error) {
	var freed time.Time // the quarantine of what an earlier process has freed is over
	if d.desired != nil {
		freed = d.time().now()
	}
	r, o := tables.NewRestorer(d.capacities(), freed), &d.objects
	err := errors.Join(
		readEntries(o.Pods, r.Pod), readEntries(o.Nodes, r.Node), readEntries(o.Cluster, r.Cluster),
		readEntries(o.LocalBackends, r.LocalBackend), readEntries(o.Ranges, r.Range), readEntries(o.Frontends, r.Frontend),
		readEntries(o.ServiceNames, r.ServiceName),
	)
	if err == nil && !r.NeverHadBackends() {
		err = errors.Join(readEntries(o.Backends, r.Backend), readEntries(o.Slots, r.Row))
	}
	if err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	return r.Mirror(), nil
}

// capacities are those of the maps as they were loaded.
func (d *DataPath) capacities() tables.Capacities {
	c := make(tables.Capacities)
	for name, m := range d.objects.DatapathMaps.ByName() {
		c[name] = (*m).MaxEntries()
	}
	return c
}

// entriesAtOnce is how many entries a batch reads. No bucket of a hash table has as many.
const entriesAtOnce = 4096

// readEntries reads a whole map, many entries at once.
func readEntries[K, V any](m *ebpf.Map, each func(K, V)) error {
	size := min(int(m.MaxEntries()), entriesAtOnce)
	keys, values := make([]K, size), make([]V, size)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("read map %v: %w", m, err)
		}
		for i := range n {
			each(keys[i], values[i])
		}
		if err != nil {
			return nil
		}
	}
}

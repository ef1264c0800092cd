package dataplane

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// restoreMirror reads back what earlier processes have left in the maps.
func (d *DataPath) restoreMirror() (*mirror, error) {
	m := newMirror(d.capacities())
	frontends := m.frontends.restore
	sets := make(map[bpf.DatapathBackendSet]bool)
	if err := errors.Join(
		readEntries(d.objects.Pods, m.pods.restore),
		readEntries(d.objects.Nodes, m.nodes.restore),
		readEntries(d.objects.Cluster, m.cluster.restore),
		readEntries(d.objects.LocalBackends, m.local.restore),
		readEntries(d.objects.Ranges, m.ranges.restore),
		readEntries(d.objects.Frontends, func(key bpf.DatapathServiceKey, value bpf.DatapathFrontend) {
			frontends(key, value)
			sets[value.Outside], sets[value.Inside] = true, true
		}),
	); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	var now time.Time // the quarantine of what an earlier process has freed is over
	if d.desired != nil {
		now = d.time().now()
	}
	if err := d.restorePorts(m, now); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	if m.backends.reserved == 0 && len(sets) == 0 {
		return m, nil // there never was a backend
	}
	if err := errors.Join(d.restoreBackends(m, now), d.restoreSets(m, sets, now)); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	return m, nil
}

// capacities are those of the maps as they were loaded.
func (d *DataPath) capacities() capacities {
	c := make(capacities)
	for name, m := range d.objects.DatapathMaps.ByName() {
		c[name] = (*m).MaxEntries()
	}
	return c
}

// entryUse is how an entry of an array was found.
type entryUse uint8

const (
	neverUsed entryUse = iota
	wasUsed            // not so long ago, perhaps
	inUse
)

// restoreFreelist is the freelist of an array's entries from first on, each with its use.
func restoreFreelist(first uint32, entries []entryUse, now time.Time) *freelist {
	s := &freelist{}
	for i := 0; i < len(entries); {
		n := i
		for n < len(entries) && entries[n] == entries[i] {
			n++
		}
		e := extent{first + uint32(i), uint32(n - i)}
		switch entries[i] {
		case neverUsed:
			s.available = append(s.available, e)
		case wasUsed:
			s.quarantine = append(s.quarantine, quarantined{e, now})
		}
		i = n
	}
	return s
}

func (d *DataPath) restorePorts(m *mirror, now time.Time) error {
	used := make([]entryUse, d.objects.ServiceNames.MaxEntries()) // there is no telling which were used before
	err := readEntries(d.objects.ServiceNames, func(number uint32, name bpf.DatapathServiceName) {
		if number == 0 {
			m.backends.reserved = parseReserved(name.String())
			return
		}
		m.ports.restore(number, name)
		if int(number) < len(used) {
			used[number] = inUse
		}
	})
	m.ports.numbers = restoreFreelist(1, used[1:], now)
	return err
}

func (d *DataPath) restoreBackends(m *mirror, now time.Time) error {
	used := make([]entryUse, d.objects.Backends.MaxEntries())
	err := readEntries(d.objects.Backends, func(number uint32, value bpf.DatapathBackend) {
		switch {
		case number == 0 || value == bpf.DatapathBackend{}:
		case value.Serial == 0:
			used[number] = wasUsed
		default:
			used[number] = inUse
			m.backends.restore(number, value)
		}
	})
	m.backends.serial = max(m.backends.serial, m.backends.reserved)
	m.backends.numbers = restoreFreelist(1, used[1:], now)
	return err
}

func (d *DataPath) restoreSets(m *mirror, sets map[bpf.DatapathBackendSet]bool, now time.Time) error {
	rows := make([]bpf.DatapathRow, d.objects.Slots.MaxEntries())
	used := make([]entryUse, len(rows))
	err := readEntries(d.objects.Slots, func(number uint32, row bpf.DatapathRow) {
		rows[number] = row
		if row != (bpf.DatapathRow{}) {
			used[number] = wasUsed
		}
	})
	for set := range sets {
		end := uint64(set.First) + uint64(rowsOf(set.Size))
		if set.Size == 0 || end > uint64(len(rows)) {
			continue
		}
		for i := set.First; i < uint32(end); i++ {
			used[i] = inUse
		}
		m.sets.restore(set, rows[set.First:end])
	}
	m.sets.rows = restoreFreelist(0, used, now)
	return err
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

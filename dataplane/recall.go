package dataplane

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
)

// readBook reads back what earlier processes have left in the maps.
func (d *DataPath) readBook() (*book, error) {
	b := newBook(d.capacities())
	frontends := b.frontends.recall
	sets := make(map[datapathBackendSet]bool)
	if err := errors.Join(
		readEntries(d.objects.Pods, b.pods.recall),
		readEntries(d.objects.Nodes, b.nodes.recall),
		readEntries(d.objects.Cluster, b.cluster.recall),
		readEntries(d.objects.LocalBackends, b.local.recall),
		readEntries(d.objects.Ranges, b.ranges.recall),
		readEntries(d.objects.Frontends, func(key datapathServiceKey, value datapathFrontend) {
			frontends(key, value)
			sets[value.Outside], sets[value.Inside] = true, true
		}),
	); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	var now time.Time // what a process before has freed has rested meanwhile
	if d.wish != nil {
		now = d.time().now()
	}
	if err := d.readPorts(b, now); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	if b.backends.reserved == 0 && len(sets) == 0 {
		return b, nil // there never was a backend
	}
	if err := errors.Join(d.readBackends(b, now), d.readTables(b, sets, now)); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	return b, nil
}

// capacities are those of the maps as they were loaded.
func (d *DataPath) capacities() capacities {
	c := make(capacities)
	for name, m := range d.objects.datapathMaps.byName() {
		c[name] = (*m).MaxEntries()
	}
	return c
}

// usage says what an entry of an array was found to be.
type usage uint8

const (
	neverUsed usage = iota
	wasUsed         // not so long ago, perhaps
	inUse
)

// recallSpace is the space of an array's entries from first on, each with its usage.
func recallSpace(first uint32, entries []usage, now time.Time) *space {
	s := &space{}
	for i := 0; i < len(entries); {
		n := i
		for n < len(entries) && entries[n] == entries[i] {
			n++
		}
		e := extent{first + uint32(i), uint32(n - i)}
		switch entries[i] {
		case neverUsed:
			s.free = append(s.free, e)
		case wasUsed:
			s.resting = append(s.resting, rest{e, now})
		}
		i = n
	}
	return s
}

func (d *DataPath) readPorts(b *book, now time.Time) error {
	used := make([]usage, d.objects.ServiceNames.MaxEntries()) // there is no telling which were used before
	err := readEntries(d.objects.ServiceNames, func(number uint32, name datapathServiceName) {
		if number == 0 {
			b.backends.reserved = parseReserved(name.String())
			return
		}
		b.ports.recall(number, name)
		if int(number) < len(used) {
			used[number] = inUse
		}
	})
	b.ports.numbers = recallSpace(1, used[1:], now)
	return err
}

func (d *DataPath) readBackends(b *book, now time.Time) error {
	used := make([]usage, d.objects.Backends.MaxEntries())
	err := readEntries(d.objects.Backends, func(number uint32, value datapathBackend) {
		switch {
		case number == 0 || value == datapathBackend{}:
		case value.Serial == 0:
			used[number] = wasUsed
		default:
			used[number] = inUse
			b.backends.recall(number, value)
		}
	})
	b.backends.serial = max(b.backends.serial, b.backends.reserved)
	b.backends.numbers = recallSpace(1, used[1:], now)
	return err
}

func (d *DataPath) readTables(b *book, sets map[datapathBackendSet]bool, now time.Time) error {
	rows := make([]datapathRow, d.objects.Slots.MaxEntries())
	used := make([]usage, len(rows))
	err := readEntries(d.objects.Slots, func(number uint32, row datapathRow) {
		rows[number] = row
		if row != (datapathRow{}) {
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
		b.tables.recall(set, rows[set.First:end])
	}
	b.tables.rows = recallSpace(0, used, now)
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

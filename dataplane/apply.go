package dataplane

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Apply makes the tables hold state. Only what differs is written, in an order in which no packet meets a half-made state.
// It returns how many entries changed. Flows of backends that stay are not touched.
func (d *DataPath) Apply(state State) (int, error) {
	want, err := compile(state)
	if err != nil {
		return 0, fmt.Errorf("apply: %w", err)
	}
	now, err := d.readInstalled()
	if err != nil {
		return 0, fmt.Errorf("apply: %w", err)
	}
	changes, err := planUpdate(now, want)
	if err != nil {
		return 0, fmt.Errorf("apply: %w", err)
	}
	for i, c := range changes {
		if err := d.change(c); err != nil {
			return i, fmt.Errorf("apply: %s: %w", c, err)
		}
	}
	return len(changes), nil
}

func (d *DataPath) change(c change) error {
	if c.mapName == datapathMapMaglev {
		return d.changeTable(c)
	}
	m := *d.objects.byName()[c.mapName]
	if c.delete {
		if err := m.Delete(c.key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
		return nil
	}
	return m.Put(c.key, c.value)
}

// changeTable fills a new table before it is put in its place.
func (d *DataPath) changeTable(c change) error {
	if c.delete {
		return errors.Join(d.objects.Maglev.Delete(c.key), d.objects.Digests.Put(c.key, uint64(0)))
	}
	t := c.value.(tableAt)
	inner, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "maglev_table", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: t.table.tables.TableSize, Flags: unix.BPF_F_INNER_MAP,
	})
	if err != nil {
		return err
	}
	defer inner.Close()
	slots := t.table.slots()
	keys := make([]uint32, len(slots))
	for i := range keys {
		keys[i] = uint32(i)
	}
	if _, err := inner.BatchUpdate(keys, slots, nil); err != nil {
		return err
	}
	if err := d.objects.Maglev.Put(t.index, inner); err != nil {
		return err
	}
	return d.objects.Digests.Put(t.index, uint64(t.digest))
}

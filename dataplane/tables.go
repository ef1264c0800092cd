package dataplane

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

const rowSlots = len(datapathRow{}.Backend)

// tableShelf is what the array of slots holds: Maglev tables in rows. Equal tables are one.
type tableShelf struct {
	capacity int
	entries  map[string]*table
	recalled map[uint64][]*table // by hash of their rows, until forsake
	touched  []*table
	rows     *space
}

// table is a Maglev table in the kernel.
type table struct {
	set     datapathBackendSet
	key     string        // see tableKey; empty for one that was recalled and not claimed
	content []datapathRow // of one that was recalled, until it is claimed
	touched bool
	holders int
}

func newTableShelf(capacity uint32) *tableShelf {
	return &tableShelf{
		capacity: int(capacity), entries: make(map[string]*table), recalled: make(map[uint64][]*table), rows: newSpace(0, capacity),
	}
}

// rowsOf is how many rows a table takes.
func rowsOf(size uint32) uint32 { return (size + uint32(rowSlots) - 1) / uint32(rowSlots) }

// tableKey says exactly what a table is made of: its size, and number and weight of each backend. Numbers stand for the
// same backends for as long as there is a table with them.
func tableKey(r recipe, backends []*backendEntry) string {
	key := make([]byte, 0, 4+8*len(r.shares))
	key = binary.NativeEndian.AppendUint32(key, r.size)
	for _, s := range r.shares {
		key = binary.NativeEndian.AppendUint32(key, backends[s.backend].number)
		key = binary.NativeEndian.AppendUint32(key, s.weight)
	}
	return string(key)
}

// rowsFor are a table's rows; slots after its last are zero, which is no backend.
func rowsFor(slots []uint32, r recipe, backends []*backendEntry) []datapathRow {
	rows := make([]datapathRow, rowsOf(r.size))
	for i, slot := range slots {
		rows[i/rowSlots].Backend[i%rowSlots] = backends[r.shares[slot].backend].number
	}
	return rows
}

// recall says what the kernel holds already. It is held until forsake.
func (s *tableShelf) recall(set datapathBackendSet, content []datapathRow) {
	hash := contentHash(set.Size, content)
	s.recalled[hash] = append(s.recalled[hash], &table{set: set, content: content, holders: 1})
}

// claim finds a table that was recalled by what it holds, and makes it one with a key.
func (s *tableShelf) claim(key string, size uint32, content []datapathRow) *table {
	if len(s.recalled) == 0 {
		return nil
	}
	for _, t := range s.recalled[contentHash(size, content)] {
		if t.key == "" && t.set.Size == size && slices.Equal(t.content, content) {
			t.key, t.content = key, nil
			s.entries[key] = t
			return t
		}
	}
	return nil
}

// add finds rows for a table. It reports false when there are none at the moment.
func (s *tableShelf) add(key string, size uint32) (*table, bool) {
	first, ok := s.rows.take(rowsOf(size))
	if !ok {
		return nil, false
	}
	t := &table{set: datapathBackendSet{First: first, Size: size}, key: key}
	s.entries[key] = t
	return t, true
}

func (s *tableShelf) release(t *table) {
	if t.holders--; t.holders == 0 && !t.touched {
		t.touched = true
		s.touched = append(s.touched, t)
	}
}

// forsake releases what was recalled.
func (s *tableShelf) forsake() {
	for _, same := range s.recalled {
		for _, t := range same {
			s.release(t)
		}
	}
	clear(s.recalled)
}

// frees gives back the rows of tables that nobody holds. Nothing is written: packets on their way may still read them.
func (s *tableShelf) frees() {
	for _, t := range s.touched {
		t.touched = false
		if t.holders > 0 {
			continue
		}
		s.rows.give(t.set.First, rowsOf(t.set.Size))
		if s.entries[t.key] == t {
			delete(s.entries, t.key)
		}
	}
	s.touched = nil
}

func contentHash(size uint32, rows []datapathRow) uint64 {
	var hash xxhash.Digest
	hash.ResetWithSeed(uint64(size))
	buffer := make([]byte, 0, 4*rowSlots)
	for i := range rows {
		buffer = buffer[:0]
		for _, slot := range rows[i].Backend {
			buffer = binary.NativeEndian.AppendUint32(buffer, slot)
		}
		_, _ = hash.Write(buffer) // never fails
	}
	return hash.Sum64()
}

package tables

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// setRefs counts the references to the sets of backends in the array of slots, lists and tables alike. Equal sets share their rows.
type setRefs struct {
	capacity int
	entries  map[string]*backendSet
	restored map[uint64][]*backendSet // by hash of their rows, until releaseRestored
	dirty    []*backendSet
	rows     *freelist
}

// backendSet is a set of backends in the kernel: a list or a table.
type backendSet struct {
	set     bpf.DatapathBackendSet
	key     string            // see setKey; empty for one that was restored and not claimed
	content []bpf.DatapathRow // of one that was restored, until it is claimed
	dirty   bool
	refs    int
}

func newSetRefs(capacity uint32) *setRefs {
	return &setRefs{
		capacity: int(capacity), entries: make(map[string]*backendSet), restored: make(map[uint64][]*backendSet), rows: newFreelist(0, capacity),
	}
}

// setKey identifies what a set is made of: number and weight of each backend. Numbers stand for the same backends for as long as
// there is a set with them.
func setKey(r setSpec, numbers []uint32) string {
	key := make([]byte, 0, 8*len(r.shares))
	for i, s := range r.shares {
		key = binary.NativeEndian.AppendUint32(key, numbers[i])
		key = binary.NativeEndian.AppendUint32(key, s.weight)
	}
	return string(key)
}

// numbers are those of the set's backends, given the entries of the spec's.
func (r setSpec) numbers(entries []*backendEntry) []uint32 {
	numbers := make([]uint32, len(r.shares))
	for i, s := range r.shares {
		numbers[i] = entries[s.backend].number
	}
	return numbers
}

// restore adds a set that the kernel holds already, with a reference that releaseRestored drops.
func (s *setRefs) restore(set bpf.DatapathBackendSet, content []bpf.DatapathRow) {
	hash := contentHash(set.Size, content)
	s.restored[hash] = append(s.restored[hash], &backendSet{set: set, content: content, refs: 1})
}

// claim finds a restored set by its content, and gives it a key.
func (s *setRefs) claim(key string, size uint32, content []bpf.DatapathRow) *backendSet {
	if len(s.restored) == 0 {
		return nil
	}
	for _, t := range s.restored[contentHash(size, content)] {
		if t.key == "" && t.set.Size == size && slices.Equal(t.content, content) {
			t.key, t.content = key, nil
			s.entries[key] = t
			return t
		}
	}
	return nil
}

// add finds rows for a set. It reports false when there are none at the moment.
func (s *setRefs) add(key string, size uint32) (*backendSet, bool) {
	first, ok := s.rows.allocate(bpf.RowsOf(size))
	if !ok {
		return nil, false
	}
	t := &backendSet{set: bpf.DatapathBackendSet{First: first, Size: size}, key: key}
	s.entries[key] = t
	return t, true
}

func (s *setRefs) release(t *backendSet) {
	if t.refs--; t.refs == 0 && !t.dirty {
		t.dirty = true
		s.dirty = append(s.dirty, t)
	}
}

// giveBack drops the reference to a set that no frontend ever had: its rows can be used again at once.
func (s *setRefs) giveBack(t *backendSet) {
	if t.refs--; t.refs > 0 {
		return
	}
	s.rows.insert(extent{t.set.First, bpf.RowsOf(t.set.Size)})
	delete(s.entries, t.key)
}

// releaseRestored drops the references of restored sets.
func (s *setRefs) releaseRestored() {
	for _, same := range s.restored {
		for _, t := range same {
			s.release(t)
		}
	}
	clear(s.restored)
}

// frees frees the rows of sets without references. Nothing is written: packets on their way may still read them.
func (s *setRefs) frees() {
	for _, t := range s.dirty {
		t.dirty = false
		if t.refs > 0 {
			continue
		}
		s.rows.free(t.set.First, bpf.RowsOf(t.set.Size))
		if s.entries[t.key] == t {
			delete(s.entries, t.key)
		}
	}
	s.dirty = nil
}

func contentHash(size uint32, rows []bpf.DatapathRow) uint64 {
	var hash xxhash.Digest
	hash.ResetWithSeed(uint64(size))
	buffer := make([]byte, 0, 4*bpf.RowSlots)
	for i := range rows {
		buffer = buffer[:0]
		for _, slot := range rows[i].Word {
			buffer = binary.NativeEndian.AppendUint32(buffer, slot)
		}
		_, _ = hash.Write(buffer) // never fails
	}
	return hash.Sum64()
}

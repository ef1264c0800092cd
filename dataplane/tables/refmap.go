package tables

// refmap mirrors a hash map or trie of the kernel and counts the references to its entries. An entry is deleted with its last
// reference.
type refmap[K, V comparable] struct {
	mapName  string
	capacity int
	entries  map[K]*entry[V]
	dirty    []K // since the last call of deletes
	restored []K // their first reference is released by releaseRestored
}

// entry is the desired value, and the one in the kernel.
type entry[V comparable] struct {
	value, written V
	present        bool
	dirty          bool
	refs           int
}

func newRefmap[K, V comparable](mapName string, capacity uint32) *refmap[K, V] {
	return &refmap[K, V]{mapName: mapName, capacity: int(capacity), entries: make(map[K]*entry[V])}
}

// restore adds an entry that the kernel holds already, with a reference that releaseRestored drops.
func (s *refmap[K, V]) restore(key K, value V) {
	s.entries[key] = &entry[V]{value: value, written: value, present: true, refs: 1}
	s.restored = append(s.restored, key)
}

// releaseRestored drops the references of restored entries.
func (s *refmap[K, V]) releaseRestored() {
	for _, key := range s.restored {
		s.release(key)
	}
	s.restored = nil
}

// acquire adds a reference; value replaces the entry's value.
func (s *refmap[K, V]) acquire(key K, value V) error {
	if s.entries[key] == nil && len(s.entries) >= s.capacity {
		return Capacities{s.mapName: uint32(s.capacity)}.full(s.mapName)
	}
	s.add(key, value)
	return nil
}

// add is acquire where the caller knows that there is room.
func (s *refmap[K, V]) add(key K, value V) {
	e := s.entries[key]
	if e == nil {
		e = &entry[V]{}
		s.entries[key] = e
	}
	e.value = value
	e.refs++
	s.markDirty(key, e)
}

// release drops a reference.
func (s *refmap[K, V]) release(key K) {
	if e := s.entries[key]; e != nil {
		e.refs--
		s.markDirty(key, e)
	}
}

func (s *refmap[K, V]) markDirty(key K, e *entry[V]) {
	if !e.dirty {
		e.dirty = true
		s.dirty = append(s.dirty, key)
	}
}

// puts returns the changes that write entries with references, and marks them as written.
func (s *refmap[K, V]) puts() []Change {
	var changes []Change
	for _, key := range s.dirty {
		e := s.entries[key]
		if e.refs == 0 || e.present && e.written == e.value {
			continue
		}
		e.present, e.written = true, e.value
		changes = append(changes, Change{Map: s.mapName, Key: key, Value: e.value})
	}
	return changes
}

// deletes returns the changes that delete entries without references, and marks them as deleted.
func (s *refmap[K, V]) deletes() []Change {
	var changes []Change
	for _, key := range s.dirty {
		e := s.entries[key]
		e.dirty = false
		if e.refs > 0 {
			continue
		}
		if e.present {
			changes = append(changes, Change{Map: s.mapName, Delete: true, Key: key})
		}
		delete(s.entries, key)
	}
	s.dirty = nil
	return changes
}

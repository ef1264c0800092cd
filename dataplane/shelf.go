package dataplane

import "fmt"

// shelf is what a hash map or trie of the kernel holds and is to hold. Several may hold an entry: it goes with the last.
type shelf[K, V comparable] struct {
	mapName  string
	capacity int
	entries  map[K]*entry[V]
	touched  []K // since the last deletes
	recalled []K // held by nobody but what was there before
}

// entry is a value as it is to be, and as it is in the kernel.
type entry[V comparable] struct {
	value, written V
	installed      bool
	touched        bool
	holders        int
}

func newShelf[K, V comparable](mapName string, capacity uint32) *shelf[K, V] {
	return &shelf[K, V]{mapName: mapName, capacity: int(capacity), entries: make(map[K]*entry[V])}
}

// recall says what the kernel holds already. It is held until forsake.
func (s *shelf[K, V]) recall(key K, value V) {
	s.entries[key] = &entry[V]{value: value, written: value, installed: true, holders: 1}
	s.recalled = append(s.recalled, key)
}

// forsake releases what was recalled.
func (s *shelf[K, V]) forsake() {
	for _, key := range s.recalled {
		s.release(key)
	}
	s.recalled = nil
}

// hold adds a holder, whose value is from now on the one.
func (s *shelf[K, V]) hold(key K, value V) error {
	e := s.entries[key]
	if e == nil {
		if len(s.entries) >= s.capacity {
			return fullError(s.mapName, s.capacity)
		}
		e = &entry[V]{}
		s.entries[key] = e
	}
	e.value = value
	e.holders++
	s.touch(key, e)
	return nil
}

// release takes a holder away.
func (s *shelf[K, V]) release(key K) {
	if e := s.entries[key]; e != nil {
		e.holders--
		s.touch(key, e)
	}
}

func (s *shelf[K, V]) touch(key K, e *entry[V]) {
	if !e.touched {
		e.touched = true
		s.touched = append(s.touched, key)
	}
}

// puts are the changes that make what is held be in the kernel. They count as made.
func (s *shelf[K, V]) puts() []change {
	var changes []change
	for _, key := range s.touched {
		e := s.entries[key]
		if e.holders == 0 || e.installed && e.written == e.value {
			continue
		}
		e.installed, e.written = true, e.value
		changes = append(changes, change{mapName: s.mapName, key: key, value: e.value})
	}
	return changes
}

// deletes are the changes that take out what nobody holds. They count as made.
func (s *shelf[K, V]) deletes() []change {
	var changes []change
	for _, key := range s.touched {
		e := s.entries[key]
		e.touched = false
		if e.holders > 0 {
			continue
		}
		if e.installed {
			changes = append(changes, change{mapName: s.mapName, delete: true, key: key})
		}
		delete(s.entries, key)
	}
	s.touched = nil
	return changes
}

func fullError(mapName string, capacity int) error {
	return fmt.Errorf("map %s is full with %d entries: raise %s", mapName, capacity, sizeOf(mapName))
}

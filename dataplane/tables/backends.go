package tables

import "github.com/dsrlab/dsrlab/dataplane/bpf"

// backendRefs counts the references to the entries of the array of backends. A backend keeps its number while any service refers
// to it. When a number goes to another backend it gets another serial, so that flows of the previous backend don't follow.
type backendRefs struct {
	capacity int
	entries  map[backendID]*backendEntry
	dirty    []*backendEntry
	restored []*backendEntry
	numbers  *freelist
	serial   uint32 // the last that was given
	reserved uint32 // serials up to this one may have been given, as far as the kernel's maps say
}

// backendEntry is a backend as it is to be, and as it is in the kernel.
type backendEntry struct {
	backendID
	number         uint32
	value, written bpf.DatapathBackend
	dirty          bool
	drained        bool // when it was restored
	refs           int
	active         int // references for which it does not drain
}

// serialsAtOnce is how many serials are reserved by one entry in the kernel's maps.
const serialsAtOnce = 1024

func newBackendRefs(capacity uint32) *backendRefs {
	return &backendRefs{capacity: int(capacity), entries: make(map[backendID]*backendEntry), numbers: newFreelist(1, capacity)}
}

// restore adds an entry that the kernel holds already, with a reference that releaseRestored drops.
func (s *backendRefs) restore(number uint32, value bpf.DatapathBackend) *backendEntry {
	e := &backendEntry{
		backendID: backendID{bpf.DatapathServiceKey{Address: value.Address, Port: value.Port, Protocol: value.Protocol}, value.Node},
		number:    number, value: value, written: value, refs: 1,
		drained: value.Flags&uint8(bpf.DatapathBackendFlagsBACKEND_DRAINING) != 0,
	}
	if !e.drained {
		e.active = 1
	}
	s.restored = append(s.restored, e)
	if s.entries[e.backendID] == nil {
		s.entries[e.backendID] = e
	}
	s.serial = max(s.serial, value.Serial)
	return e
}

// releaseRestored drops the references of restored entries.
func (s *backendRefs) releaseRestored() {
	for _, e := range s.restored {
		s.release(e, e.drained)
	}
	s.restored = nil
}

// find is the entry of a backend, or nil.
func (s *backendRefs) find(spec *backendSpec) *backendEntry { return s.entries[spec.backendID] }

// add gives a backend a number. It reports false if none is free now.
func (s *backendRefs) add(spec *backendSpec) (*backendEntry, bool) {
	number, ok := s.numbers.allocate(1)
	if !ok {
		return nil, false
	}
	s.serial++
	if s.serial == 0 { // which means free
		s.serial++
	}
	e := &backendEntry{backendID: spec.backendID, number: number, value: bpf.DatapathBackend{
		Address: spec.Address, Port: spec.Port, Protocol: spec.Protocol, Serial: s.serial, Node: spec.node,
	}}
	s.entries[spec.backendID] = e
	return e, true
}

// acquire adds a reference to an entry.
func (s *backendRefs) acquire(e *backendEntry, spec *backendSpec) {
	e.value.NextHop = spec.nextHop
	e.value.Flags &^= uint8(bpf.DatapathBackendFlagsBACKEND_LOCAL | bpf.DatapathBackendFlagsBACKEND_OUTSIDE)
	if spec.local {
		e.value.Flags |= uint8(bpf.DatapathBackendFlagsBACKEND_LOCAL)
	}
	if spec.outside {
		e.value.Flags |= uint8(bpf.DatapathBackendFlagsBACKEND_OUTSIDE)
	}
	e.refs++
	if !spec.draining {
		e.active++
	}
	s.markDirty(e)
}

// release drops a reference.
func (s *backendRefs) release(e *backendEntry, draining bool) {
	e.refs--
	if !draining {
		e.active--
	}
	s.markDirty(e)
}

func (s *backendRefs) markDirty(e *backendEntry) {
	if !e.dirty {
		e.dirty = true
		s.dirty = append(s.dirty, e)
	}
}

// puts returns the changes that write what is referred to, and marks them as written.
func (s *backendRefs) puts() []Change {
	var changes []Change
	for _, e := range s.dirty {
		e.value.Flags &^= uint8(bpf.DatapathBackendFlagsBACKEND_DRAINING)
		if e.active == 0 {
			e.value.Flags |= uint8(bpf.DatapathBackendFlagsBACKEND_DRAINING)
		}
		if e.refs > 0 && e.value != e.written {
			e.written = e.value
			changes = append(changes, Change{Map: bpf.DatapathMapBackends, Key: e.number, Value: e.value})
		}
	}
	return changes
}

// frees returns the changes that free entries without references and update the flags of the others. A free entry keeps its
// address: a packet on its way may have read its number.
func (s *backendRefs) frees() []Change {
	changes := s.puts()
	for _, e := range s.dirty {
		e.dirty = false
		if e.refs > 0 {
			continue
		}
		e.value.Serial = 0
		if e.written != (bpf.DatapathBackend{}) { // else it is of a service that found no room
			changes = append(changes, Change{Map: bpf.DatapathMapBackends, Key: e.number, Value: e.value})
		}
		s.numbers.free(e.number, 1)
		if s.entries[e.backendID] == e {
			delete(s.entries, e.backendID)
		}
	}
	s.dirty = nil
	return changes
}

// reserve returns the last serial to note as reserved in the kernel's maps, or false if enough are reserved already.
func (s *backendRefs) reserve() (uint32, bool) {
	if s.serial <= s.reserved {
		return 0, false
	}
	s.reserved = s.serial + serialsAtOnce
	return s.reserved, true
}

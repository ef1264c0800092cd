package dataplane

// backendShelf is what the array of backends holds and is to hold. A backend keeps its number for as long as any service has
// it. A number that goes to another backend gets another serial, so that flows of the one before don't follow.
type backendShelf struct {
	capacity int
	entries  map[identity]*backendEntry
	touched  []*backendEntry
	recalled []*backendEntry
	numbers  *space
	serial   uint32 // the last that was given
	reserved uint32 // serials up to this one may have been given, as far as the kernel's maps say
}

// backendEntry is a backend as it is to be, and as it is in the kernel.
type backendEntry struct {
	identity
	number         uint32
	value, written datapathBackend
	touched        bool
	drained        bool // as it was recalled
	holders        int
	active         int // holders for which it does not drain
}

// serialsAtOnce is how many serials are reserved by one entry in the kernel's maps.
const serialsAtOnce = 1024

func newBackendShelf(capacity uint32) *backendShelf {
	return &backendShelf{capacity: int(capacity), entries: make(map[identity]*backendEntry), numbers: newSpace(1, capacity)}
}

// recall says what the kernel holds under a number, which is not free. It is held until forsake.
func (s *backendShelf) recall(number uint32, value datapathBackend) *backendEntry {
	e := &backendEntry{
		identity: identity{datapathServiceKey{Address: value.Address, Port: value.Port, Protocol: value.Protocol}, value.Node},
		number:   number, value: value, written: value, holders: 1,
		drained: value.Flags&uint8(datapathBackendFlagsBACKEND_DRAINING) != 0,
	}
	if !e.drained {
		e.active = 1
	}
	s.recalled = append(s.recalled, e)
	if s.entries[e.identity] == nil {
		s.entries[e.identity] = e
	}
	s.serial = max(s.serial, value.Serial)
	return e
}

// forsake releases what was recalled.
func (s *backendShelf) forsake() {
	for _, e := range s.recalled {
		s.release(e, e.drained)
	}
	s.recalled = nil
}

// find is the entry of a backend, or nil.
func (s *backendShelf) find(f *backendForm) *backendEntry { return s.entries[f.identity] }

// add gives a backend a number. It reports false when there is none at the moment.
func (s *backendShelf) add(f *backendForm) (*backendEntry, bool) {
	number, ok := s.numbers.take(1)
	if !ok {
		return nil, false
	}
	s.serial++
	if s.serial == 0 { // which means free
		s.serial++
	}
	e := &backendEntry{identity: f.identity, number: number, value: datapathBackend{
		Address: f.Address, Port: f.Port, Protocol: f.Protocol, Serial: s.serial, Node: f.node,
	}}
	s.entries[f.identity] = e
	return e, true
}

// hold adds a holder to an entry.
func (s *backendShelf) hold(e *backendEntry, f *backendForm) {
	e.value.NextHop = f.nextHop
	e.value.Flags &^= uint8(datapathBackendFlagsBACKEND_LOCAL)
	if f.local {
		e.value.Flags |= uint8(datapathBackendFlagsBACKEND_LOCAL)
	}
	e.holders++
	if !f.draining {
		e.active++
	}
	s.touch(e)
}

// release takes a holder away.
func (s *backendShelf) release(e *backendEntry, draining bool) {
	e.holders--
	if !draining {
		e.active--
	}
	s.touch(e)
}

func (s *backendShelf) touch(e *backendEntry) {
	if !e.touched {
		e.touched = true
		s.touched = append(s.touched, e)
	}
}

// puts are the changes that make what is held be in the kernel. They count as made.
func (s *backendShelf) puts() []change {
	var changes []change
	for _, e := range s.touched {
		e.value.Flags &^= uint8(datapathBackendFlagsBACKEND_DRAINING)
		if e.active == 0 {
			e.value.Flags |= uint8(datapathBackendFlagsBACKEND_DRAINING)
		}
		if e.holders > 0 && e.value != e.written {
			e.written = e.value
			changes = append(changes, change{mapName: datapathMapBackends, key: e.number, value: e.value})
		}
	}
	return changes
}

// frees are the changes that take out what nobody holds, and let flags follow those that still do. An entry that is free keeps
// its address: a packet on its way may have read its number.
func (s *backendShelf) frees() []change {
	changes := s.puts()
	for _, e := range s.touched {
		e.touched = false
		if e.holders > 0 {
			continue
		}
		e.value.Serial = 0
		changes = append(changes, change{mapName: datapathMapBackends, key: e.number, value: e.value})
		s.numbers.give(e.number, 1)
		if s.entries[e.identity] == e {
			delete(s.entries, e.identity)
		}
	}
	s.touched = nil
	return changes
}

// reserve says up to which serial the kernel's maps must say that they may have been given; false when they say so already.
func (s *backendShelf) reserve() (uint32, bool) {
	if s.serial <= s.reserved {
		return 0, false
	}
	s.reserved = s.serial + serialsAtOnce
	return s.reserved, true
}

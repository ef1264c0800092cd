package dataplane

import (
	"strconv"
	"strings"
)

// portShelf numbers the ports of services. The names of the numbers are in a map of the kernel's, so that a restart finds the
// numbers again; there the number 0 has the serials that backends may have been given.
type portShelf struct {
	capacity int
	entries  map[string]*port
	numbered map[uint32]*port
	names    *shelf[uint32, datapathServiceName]
	numbers  *space
}

// port is a service's port.
type port struct {
	name   string
	number uint32
}

func newPortShelf(capacity uint32) *portShelf {
	return &portShelf{
		capacity: int(capacity), entries: make(map[string]*port), numbered: make(map[uint32]*port), numbers: newSpace(1, capacity),
		names: newShelf[uint32, datapathServiceName](datapathMapServiceNames, capacity),
	}
}

// recall says what the kernel holds already. It is held until forsake.
func (s *portShelf) recall(number uint32, text datapathServiceName) {
	s.names.recall(number, text)
	if name := text.String(); s.entries[name] == nil {
		s.enter(&port{name: name, number: number})
	}
}

// forsake releases what was recalled.
func (s *portShelf) forsake() { s.names.forsake() }

// find is the port of a name, or nil.
func (s *portShelf) find(name string) *port { return s.entries[name] }

// add gives a port a number. It reports false when there is none at the moment.
func (s *portShelf) add(name string) (*port, bool) {
	number, ok := s.numbers.take(1)
	if !ok {
		return nil, false
	}
	p := &port{name: name, number: number}
	s.enter(p)
	return p, true
}

func (s *portShelf) enter(p *port) { s.entries[p.name], s.numbered[p.number] = p, p }

func (s *portShelf) hold(p *port) error { return s.names.hold(p.number, wireText(p.name)) }

func (s *portShelf) release(p *port) { s.names.release(p.number) }

// deletes are the changes that take out what nobody holds, and give its numbers back.
func (s *portShelf) deletes() []change {
	gone := s.names.deletes()
	for _, c := range gone {
		number := c.key.(uint32)
		s.numbers.give(number, 1)
		if p := s.numbered[number]; p != nil {
			delete(s.entries, p.name)
			delete(s.numbered, number)
		}
	}
	return gone
}

const reservedSerials = "serials to "

// putReserved is the change that notes up to which serial backends may have been given.
func putReserved(serial uint32) change {
	text := reservedSerials + strconv.FormatUint(uint64(serial), 10)
	return change{mapName: datapathMapServiceNames, key: uint32(0), value: wireText(text)}
}

// parseReserved is the inverse of putReserved; 0 for anything else.
func parseReserved(text string) uint32 {
	serial, _ := strconv.ParseUint(strings.TrimPrefix(text, reservedSerials), 10, 32)
	return uint32(serial)
}

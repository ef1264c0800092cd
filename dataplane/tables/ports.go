package tables

import (
	"strconv"
	"strings"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// portRefs numbers the ports of services and counts the references to them. The names of the numbers are in a map, so that a
// restart restores them; there the number 0 has the last serial that is reserved for backends.
type portRefs struct {
	capacity int
	entries  map[string]*port
	numbered map[uint32]*port
	names    *refmap[uint32, bpf.DatapathServiceName]
	numbers  *freelist
}

// port is a service's port.
type port struct {
	name   string
	number uint32
}

func newPortRefs(capacity uint32) *portRefs {
	return &portRefs{
		capacity: int(capacity), entries: make(map[string]*port), numbered: make(map[uint32]*port), numbers: newFreelist(1, capacity),
		names: newRefmap[uint32, bpf.DatapathServiceName](bpf.DatapathMapServiceNames, capacity),
	}
}

// restore adds an entry that the kernel holds already, with a reference that releaseRestored drops.
func (s *portRefs) restore(number uint32, text bpf.DatapathServiceName) {
	s.names.restore(number, text)
	if name := text.String(); s.entries[name] == nil {
		s.enter(&port{name: name, number: number})
	}
}

// releaseRestored drops the references of restored entries.
func (s *portRefs) releaseRestored() { s.names.releaseRestored() }

// find is the port of a name, or nil.
func (s *portRefs) find(name string) *port { return s.entries[name] }

// add gives a port a number. It reports false if none is free now.
func (s *portRefs) add(name string) (*port, bool) {
	number, ok := s.numbers.allocate(1)
	if !ok {
		return nil, false
	}
	p := &port{name: name, number: number}
	s.enter(p)
	return p, true
}

func (s *portRefs) enter(p *port) { s.entries[p.name], s.numbered[p.number] = p, p }

func (s *portRefs) acquire(p *port) error { return s.names.acquire(p.number, bpf.WireText(p.name)) }

func (s *portRefs) release(p *port) { s.names.release(p.number) }

// deletes returns the changes that delete entries without references, and frees their numbers.
func (s *portRefs) deletes() []Change {
	var gone []uint32
	for _, number := range s.names.dirty {
		if s.names.refs(number) == 0 {
			gone = append(gone, number)
		}
	}
	changes := s.names.deletes()
	for _, number := range gone {
		s.numbers.free(number, 1)
		if p := s.numbered[number]; p != nil {
			delete(s.entries, p.name)
			delete(s.numbered, number)
		}
	}
	return changes
}

const reservedSerials = "serials to "

// putReserved is the change that stores the last reserved serial.
func putReserved(serial uint32) Change {
	text := reservedSerials + strconv.FormatUint(uint64(serial), 10)
	return Change{Map: bpf.DatapathMapServiceNames, Key: uint32(0), Value: bpf.WireText(text)}
}

// parseReserved is the inverse of putReserved; 0 for anything else.
func parseReserved(text string) uint32 {
	serial, _ := strconv.ParseUint(strings.TrimPrefix(text, reservedSerials), 10, 32)
	return uint32(serial)
}

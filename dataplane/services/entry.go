package services

import (
	"cmp"
	"fmt"
	"slices"
)

// entry is a service in a Tracker: what it asks for, and what it has got.
type entry struct {
	name      string    // namespace/name
	spec      *spec     // nil when the service has gone
	slots     []*slot   // of spec.frontends
	shared    []*shared // of spec.backends
	won       []bool    // of spec.frontends
	known     []bool    // of spec.backends, by a frontend that was won
	selected  []bool    // likewise
	conflicts []Problem // with other services
	reported  *Tables   // by the last Change
	touched   bool
}

// compare orders the oldest service first.
func (e *entry) compare(other *entry) int { return OlderFirst(e.spec.service, other.spec.service) }

func (e *entry) allProblems() []Problem { return slices.Concat(e.spec.problems, e.conflicts) }

// slot is an address, port and protocol, which one frontend can have.
type slot struct {
	key       frontendKey
	claimants []claimant // the winner first
	touched   bool
}

// claimant is a frontend of an entry that asks for a slot.
type claimant struct {
	entry *entry
	index int // of spec.frontends
}

func (b claimant) compare(other claimant) int {
	if b.entry == other.entry {
		return cmp.Compare(b.index, other.index)
	}
	return b.entry.compare(other.entry)
}

// shared is a backend, of as many services as hold it.
type shared struct {
	key        backendKey
	holders    []holder // the first one's node and weight count
	knownBy    int      // entries
	selectedBy int      // likewise
	number     int      // while tables are made
	touched    bool
}

// holder is an entry that has a backend.
type holder struct {
	entry *entry
	index int // of spec.backends
}

func (h holder) compare(other holder) int { return h.entry.compare(other.entry) }

func (h holder) specBackend() *specBackend { return &h.entry.spec.backends[h.index] }

// backend is the backend as its first holder has it.
func (s *shared) backend() Backend {
	c := s.holders[0].specBackend()
	return Backend{
		Address: c.key.address.Addr(), Port: c.key.address.Port(), Protocol: c.key.protocol,
		Node: c.node.name, NodeAddress: c.node.tunnelEnd,
		Weight: c.weight, Draining: s.selectedBy == 0,
	}
}

// resolve finds out which frontends the entry wins, and what follows for its backends.
func (e *entry) resolve() {
	e.won = make([]bool, len(e.slots))
	e.known, e.selected = make([]bool, len(e.shared)), make([]bool, len(e.shared))
	for i, at := range e.slots {
		f := &e.spec.frontends[i]
		e.won[i] = at.claimants[0] == claimant{e, i}
		if !e.won[i] || f.pool == noPool {
			continue
		}
		p := &e.spec.pools[f.pool]
		for _, endpoint := range p.endpoints {
			e.known[endpoint.backend] = true
		}
		for _, backend := range p.chosen(f.LocalOnly) {
			e.selected[backend] = true
		}
	}
}

// findConflicts finds the problems that the entry has with others.
func (e *entry) findConflicts() {
	e.conflicts = nil
	for i, at := range e.slots {
		if e.won[i] {
			continue
		}
		f := &e.spec.frontends[i]
		what := fmt.Sprintf("the service has %s twice", f.String())
		if other := at.claimants[0].entry; other != e {
			what = fmt.Sprintf("service %s has %s", other.name, f.String())
		}
		e.conflicts = append(e.conflicts, Problem{serviceObject(e.spec.service), f.field, what,
			"use an address, port and protocol of its own"})
	}
	for i, s := range e.shared {
		if first := s.holders[0]; first.entry != e {
			e.conflicts = append(e.conflicts, e.spec.backends[i].conflictsWith(first.specBackend())...)
		}
	}
}

// tables are what the service alone has got.
func (e *entry) tables() *Tables {
	t := emptyTables()
	if e.spec == nil {
		return t
	}
	numbers := make([]int, len(e.shared))
	for i, s := range e.shared {
		if e.known[i] {
			numbers[i] = len(t.Backends)
			t.Backends = append(t.Backends, s.backend())
		}
	}
	t.Frontends = append(t.Frontends, e.frontends(numbers)...)
	slices.SortFunc(t.Frontends, func(x, y Frontend) int { return x.compare(&y) })
	return t
}

// frontends are those won, with the numbers that their backends have.
func (e *entry) frontends(numbers []int) []Frontend {
	pools := make([]numberedPool, len(e.spec.pools))
	all := make([]Frontend, 0, len(e.won))
	for i, won := range e.won {
		if !won {
			continue
		}
		w := &e.spec.frontends[i]
		f := w.Frontend
		f.Backends = []int{}
		if w.pool != noPool {
			pools[w.pool].number(&e.spec.pools[w.pool], numbers)
			pools[w.pool].fill(&f)
		}
		all = append(all, f)
	}
	return all
}

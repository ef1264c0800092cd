package services

import (
	"cmp"
	"fmt"
	"slices"
)

// entry is a service in a Book: what it asks for, and what it has got.
type entry struct {
	name     string    // namespace/name
	demand   *demand   // nil when the service has gone
	sites    []*site   // of demand.frontends
	shared   []*shared // of demand.backends
	won      []bool    // of demand.frontends
	known    []bool    // of demand.backends, by a frontend that was won
	selected []bool    // likewise
	problems []Problem // with other services
	told     *Tables   // what the last Change said
	touched  bool
}

// compare orders the oldest service first.
func (e *entry) compare(other *entry) int { return OlderFirst(e.demand.service, other.demand.service) }

func (e *entry) allProblems() []Problem { return slices.Concat(e.demand.problems, e.problems) }

// site is an address, port and protocol.
type site struct {
	key     frontendKey
	bids    []bid // of those who ask for it, the winner's first
	touched bool
}

// bid is a frontend of an entry.
type bid struct {
	entry *entry
	index int // of demand.frontends
}

func (b bid) compare(other bid) int {
	if b.entry == other.entry {
		return cmp.Compare(b.index, other.index)
	}
	return b.entry.compare(other.entry)
}

// shared is a backend, of as many services as hold it.
type shared struct {
	key        backendKey
	holders    []holder // whose word counts first
	knownBy    int      // entries
	selectedBy int      // likewise
	number     int      // while tables are made
	touched    bool
}

// holder is a claim of an entry.
type holder struct {
	entry *entry
	index int // of demand.backends
}

func (h holder) compare(other holder) int { return h.entry.compare(other.entry) }

func (h holder) claim() *claim { return &h.entry.demand.backends[h.index] }

// backend is the backend as its first holder has it.
func (s *shared) backend() Backend {
	c := s.holders[0].claim()
	return Backend{
		Address: c.key.address.Addr(), Port: c.key.address.Port(), Protocol: c.key.protocol,
		Node: c.node.name, NodeAddress: c.node.tunnelEnd,
		Weight: c.weight, Draining: s.selectedBy == 0,
	}
}

// judge finds out which frontends the entry wins, and what follows for its backends.
func (e *entry) judge() {
	e.won = make([]bool, len(e.sites))
	e.known, e.selected = make([]bool, len(e.shared)), make([]bool, len(e.shared))
	for i, at := range e.sites {
		f := &e.demand.frontends[i]
		e.won[i] = at.bids[0] == bid{e, i}
		if !e.won[i] || f.pool == noPool {
			continue
		}
		p := &e.demand.pools[f.pool]
		for _, endpoint := range p.endpoints {
			e.known[endpoint.backend] = true
		}
		for _, backend := range p.chosen(f.LocalOnly) {
			e.selected[backend] = true
		}
	}
}

// quarrel finds the problems that the entry has with others.
func (e *entry) quarrel() {
	e.problems = nil
	for i, at := range e.sites {
		if e.won[i] {
			continue
		}
		f := &e.demand.frontends[i]
		what := fmt.Sprintf("the service has %s twice", f.String())
		if other := at.bids[0].entry; other != e {
			what = fmt.Sprintf("service %s has %s", other.name, f.String())
		}
		e.problems = append(e.problems, Problem{serviceObject(e.demand.service), f.field, what,
			"use an address, port and protocol of its own"})
	}
	for i, s := range e.shared {
		if first := s.holders[0]; first.entry != e {
			e.problems = append(e.problems, e.demand.backends[i].against(first.claim())...)
		}
	}
}

// tables are what the service alone has got.
func (e *entry) tables(largest uint32) *Tables {
	t := &Tables{Frontends: []Frontend{}, Backends: []Backend{}, TableSize: largest}
	if e.demand == nil {
		return t
	}
	numbers := make([]int, len(e.shared))
	for i, s := range e.shared {
		if e.known[i] {
			numbers[i] = len(t.Backends)
			t.Backends = append(t.Backends, s.backend())
		}
	}
	t.Frontends = append(t.Frontends, e.frontends(numbers, largest)...)
	slices.SortFunc(t.Frontends, func(x, y Frontend) int { return x.compare(&y) })
	return t
}

// frontends are those won, with the numbers that their backends have.
func (e *entry) frontends(numbers []int, largest uint32) []Frontend {
	pools := make([]numberedPool, len(e.demand.pools))
	all := make([]Frontend, 0, len(e.won))
	for i, won := range e.won {
		if !won {
			continue
		}
		w := &e.demand.frontends[i]
		f := w.Frontend
		f.Backends = []int{}
		if w.pool != noPool {
			pools[w.pool].number(&e.demand.pools[w.pool], numbers)
			pools[w.pool].fill(&f)
		}
		f.TableSize = TableSizeFor(len(f.Backends), largest)
		all = append(all, f)
	}
	return all
}

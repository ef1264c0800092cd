package services

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// turnover is one replacement of services: who and what is touched by it.
type turnover struct {
	book     *Book
	entries  []*entry // to be told, if their tables differ
	sites    []*site
	backends []*shared
}

// replace puts services in the place of those of the same name; nil takes one away.
func (b *Book) replace(replacements map[objectKey]*corev1.Service) []Change {
	t := &turnover{book: b}
	for key := range replacements {
		if e := b.entries[key]; e != nil {
			t.withdraw(e)
		}
	}
	for key, service := range replacements {
		e := b.entries[key]
		switch {
		case service != nil:
			if e == nil {
				e = &entry{name: key.namespace + "/" + key.name, told: b.nothing()}
				b.entries[key] = e
			}
			e.demand = demandOf(service, b.byService[key], b.places, b.options)
			t.enter(e)
		case e != nil:
			e.demand = nil
			delete(b.entries, key)
		}
	}
	t.settle()
	return t.tell()
}

func (t *turnover) touch(e *entry) {
	if !e.touched {
		e.touched = true
		t.entries = append(t.entries, e)
	}
}

func (t *turnover) touchSite(s *site) {
	if !s.touched {
		s.touched = true
		t.sites = append(t.sites, s)
	}
}

func (t *turnover) touchShared(s *shared) {
	if !s.touched {
		s.touched = true
		t.backends = append(t.backends, s)
	}
}

// withdraw takes back all that an entry asks for.
func (t *turnover) withdraw(e *entry) {
	t.touch(e)
	for _, s := range e.sites {
		t.touchSite(s)
		s.bids = slices.DeleteFunc(s.bids, func(b bid) bool { return b.entry == e })
	}
	for i, s := range e.shared {
		t.touchShared(s)
		s.holders = slices.DeleteFunc(s.holders, func(h holder) bool { return h.entry == e })
		s.knownBy -= number(e.known[i])
		s.selectedBy -= number(e.selected[i])
	}
	e.sites, e.shared, e.won, e.known, e.selected, e.problems = nil, nil, nil, nil, nil, nil
}

// enter asks for all that an entry's demand says.
func (t *turnover) enter(e *entry) {
	t.touch(e)
	e.sites = make([]*site, len(e.demand.frontends))
	for i := range e.demand.frontends {
		f := &e.demand.frontends[i]
		key := frontendKey{f.AddrPort(), f.Protocol}
		s := t.book.sites[key]
		if s == nil {
			s = &site{key: key}
			t.book.sites[key] = s
		}
		t.touchSite(s)
		added := bid{e, i}
		at, _ := slices.BinarySearchFunc(s.bids, added, bid.compare)
		s.bids = slices.Insert(s.bids, at, added)
		e.sites[i] = s
	}
	e.shared = make([]*shared, len(e.demand.backends))
	for i := range e.demand.backends {
		key := e.demand.backends[i].key
		s := t.book.backends[key]
		if s == nil {
			s = &shared{key: key}
			t.book.backends[key] = s
		}
		t.touchShared(s)
		added := holder{e, i}
		at, _ := slices.BinarySearchFunc(s.holders, added, holder.compare)
		s.holders = slices.Insert(s.holders, at, added)
		e.shared[i] = s
	}
}

// settle finds out who has got what.
func (t *turnover) settle() {
	for _, s := range t.sites {
		s.touched = false
		for _, b := range s.bids {
			t.touch(b.entry)
		}
		if len(s.bids) == 0 {
			delete(t.book.sites, s.key)
		}
	}
	for _, e := range t.entries {
		if e.demand != nil {
			t.judge(e)
		}
	}
	for _, s := range t.backends {
		s.touched = false
		for _, h := range s.holders {
			t.touch(h.entry)
		}
		if len(s.holders) == 0 {
			delete(t.book.backends, s.key)
		}
	}
	for _, e := range t.entries {
		if e.demand != nil {
			e.quarrel()
		}
	}
}

// judge lets an entry find out what it wins, and counts that.
func (t *turnover) judge(e *entry) {
	known, selected := e.known, e.selected
	e.judge()
	for i, s := range e.shared {
		known, selected := known != nil && known[i], selected != nil && selected[i]
		if known != e.known[i] || selected != e.selected[i] {
			t.touchShared(s)
			s.knownBy += number(e.known[i]) - number(known)
			s.selectedBy += number(e.selected[i]) - number(selected)
		}
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

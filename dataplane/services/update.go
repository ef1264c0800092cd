package services

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// update is one replacement of services, and what it touches.
type update struct {
	tracker  *Tracker
	entries  []*entry // reported, if their tables differ
	slots    []*slot
	backends []*shared
}

// replace replaces services by others of the same name; nil removes one.
func (t *Tracker) replace(replacements map[objectKey]*corev1.Service) []Change {
	u := &update{tracker: t}
	for key := range replacements {
		if e := t.entries[key]; e != nil {
			u.remove(e)
		}
	}
	for key, service := range replacements {
		e := t.entries[key]
		switch {
		case service != nil:
			if e == nil {
				e = &entry{name: key.namespace + "/" + key.name, reported: emptyTables()}
				t.entries[key] = e
			}
			e.spec = compileSpec(service, t.byService[key], t)
			u.add(e)
		case e != nil:
			e.spec = nil
			delete(t.entries, key)
		}
	}
	u.resolve()
	return u.changes()
}

func (u *update) touch(e *entry) {
	if !e.touched {
		e.touched = true
		u.entries = append(u.entries, e)
	}
}

func (u *update) touchSlot(s *slot) {
	if !s.touched {
		s.touched = true
		u.slots = append(u.slots, s)
	}
}

func (u *update) touchShared(s *shared) {
	if !s.touched {
		s.touched = true
		u.backends = append(u.backends, s)
	}
}

// remove takes an entry out of its slots and backends.
func (u *update) remove(e *entry) {
	u.touch(e)
	for _, s := range e.slots {
		u.touchSlot(s)
		s.claimants = slices.DeleteFunc(s.claimants, func(b claimant) bool { return b.entry == e })
	}
	for i, s := range e.shared {
		u.touchShared(s)
		s.holders = slices.DeleteFunc(s.holders, func(h holder) bool { return h.entry == e })
		s.knownBy -= number(e.known[i])
		s.selectedBy -= number(e.selected[i])
	}
	e.slots, e.shared, e.won, e.known, e.selected, e.conflicts = nil, nil, nil, nil, nil, nil
}

// add enters an entry in the slots and backends of its spec.
func (u *update) add(e *entry) {
	u.touch(e)
	e.slots = make([]*slot, len(e.spec.frontends))
	for i := range e.spec.frontends {
		f := &e.spec.frontends[i]
		key := frontendKey{f.AddrPort(), f.Protocol}
		s := u.tracker.slots[key]
		if s == nil {
			s = &slot{key: key}
			u.tracker.slots[key] = s
		}
		u.touchSlot(s)
		added := claimant{e, i}
		at, _ := slices.BinarySearchFunc(s.claimants, added, claimant.compare)
		s.claimants = slices.Insert(s.claimants, at, added)
		e.slots[i] = s
	}
	e.shared = make([]*shared, len(e.spec.backends))
	for i := range e.spec.backends {
		key := e.spec.backends[i].key
		s := u.tracker.backends[key]
		if s == nil {
			s = &shared{key: key}
			u.tracker.backends[key] = s
		}
		u.touchShared(s)
		added := holder{e, i}
		at, _ := slices.BinarySearchFunc(s.holders, added, holder.compare)
		s.holders = slices.Insert(s.holders, at, added)
		e.shared[i] = s
	}
}

// resolve finds out which entry has which slots and backends.
func (u *update) resolve() {
	for _, s := range u.slots {
		s.touched = false
		for _, b := range s.claimants {
			u.touch(b.entry)
		}
		if len(s.claimants) == 0 {
			delete(u.tracker.slots, s.key)
		}
	}
	for _, e := range u.entries {
		if e.spec != nil {
			u.resolveEntry(e)
		}
	}
	for _, s := range u.backends {
		s.touched = false
		for _, h := range s.holders {
			u.touch(h.entry)
		}
		if len(s.holders) == 0 {
			delete(u.tracker.backends, s.key)
		}
	}
	for _, e := range u.entries {
		if e.spec != nil {
			e.findConflicts()
		}
	}
}

// resolveEntry resolves an entry, and counts what it knows and selects.
func (u *update) resolveEntry(e *entry) {
	known, selected := e.known, e.selected
	e.resolve()
	for i, s := range e.shared {
		known, selected := known != nil && known[i], selected != nil && selected[i]
		if known != e.known[i] || selected != e.selected[i] {
			u.touchShared(s)
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

package services

import (
	"cmp"
	"slices"
)

// tell makes the changes of those whose tables differ from what was told last.
func (t *turnover) tell() []Change {
	largest := t.book.options.TableSize
	var changed []*entry
	next := make(map[*entry]*Tables)
	for _, e := range t.entries {
		e.touched = false
		if tables := e.tables(largest); !tables.equal(e.told) {
			changed = append(changed, e)
			next[e] = tables
		}
	}
	slices.SortFunc(changed, func(x, y *entry) int { return cmp.Compare(x.name, y.name) })
	gives, takes := t.moves(changed, next)
	var changes []Change
	for _, e := range changed {
		if !gives[e] {
			continue
		}
		tables := next[e]
		if takes[e] {
			tables = t.without(e, tables)
		}
		changes = append(changes, Change{e.name, tables})
	}
	for _, e := range changed {
		if !gives[e] || takes[e] {
			changes = append(changes, Change{e.name, next[e]})
		}
	}
	t.own(changed, next)
	return changes
}

// moves finds out who gives frontends to others, and who takes them.
func (t *turnover) moves(changed []*entry, next map[*entry]*Tables) (gives, takes map[*entry]bool) {
	gives, takes = make(map[*entry]bool), make(map[*entry]bool)
	for _, e := range changed {
		for i := range next[e].Frontends {
			if owner := t.book.owners[next[e].Frontends[i].key()]; owner != nil && owner != e {
				gives[owner], takes[e] = true, true
			}
		}
	}
	return gives, takes
}

// without leaves out of an entry's tables the frontends that others still have.
func (t *turnover) without(e *entry, tables *Tables) *Tables {
	rest := *tables
	rest.Frontends = []Frontend{}
	for _, f := range tables.Frontends {
		if owner := t.book.owners[f.key()]; owner == nil || owner == e {
			rest.Frontends = append(rest.Frontends, f)
		}
	}
	return &rest
}

// own notes who has been told what.
func (t *turnover) own(changed []*entry, next map[*entry]*Tables) {
	for _, e := range changed {
		for i := range e.told.Frontends {
			delete(t.book.owners, e.told.Frontends[i].key())
		}
	}
	for _, e := range changed {
		e.told = next[e]
		for i := range e.told.Frontends {
			t.book.owners[e.told.Frontends[i].key()] = e
		}
	}
}

package services

import (
	"cmp"
	"slices"
)

// changes returns a Change for each entry whose tables differ from what was last reported.
func (u *update) changes() []Change {
	var changed []*entry
	next := make(map[*entry]*Tables)
	for _, e := range u.entries {
		e.touched = false
		tables := e.tables()
		if tables.keepZones(u.tracker.nodes); !tables.equal(e.reported) {
			changed = append(changed, e)
			next[e] = tables
		}
	}
	slices.SortFunc(changed, func(x, y *entry) int { return cmp.Compare(x.name, y.name) })
	gives, takes := u.moves(changed, next)
	var changes []Change
	for _, e := range changed {
		if !gives[e] {
			continue
		}
		tables := next[e]
		if takes[e] {
			tables = u.without(e, tables)
		}
		changes = append(changes, Change{e.name, tables})
	}
	for _, e := range changed {
		if !gives[e] || takes[e] {
			changes = append(changes, Change{e.name, next[e]})
		}
	}
	u.recordReported(changed, next)
	return changes
}

// moves finds out which entries lose frontends to others, and which gain them.
func (u *update) moves(changed []*entry, next map[*entry]*Tables) (gives, takes map[*entry]bool) {
	gives, takes = make(map[*entry]bool), make(map[*entry]bool)
	for _, e := range changed {
		for i := range next[e].Frontends {
			if owner := u.tracker.reported[next[e].Frontends[i].key()]; owner != nil && owner != e {
				gives[owner], takes[e] = true, true
			}
		}
	}
	return gives, takes
}

// without returns an entry's tables without the frontends that others still have.
func (u *update) without(e *entry, tables *Tables) *Tables {
	rest := *tables
	rest.Frontends = []Frontend{}
	for _, f := range tables.Frontends {
		if owner := u.tracker.reported[f.key()]; owner == nil || owner == e {
			rest.Frontends = append(rest.Frontends, f)
		}
	}
	return &rest
}

// recordReported remembers what was reported, and whose each frontend is by that.
func (u *update) recordReported(changed []*entry, next map[*entry]*Tables) {
	for _, e := range changed {
		for i := range e.reported.Frontends {
			delete(u.tracker.reported, e.reported.Frontends[i].key())
		}
	}
	for _, e := range changed {
		e.reported = next[e]
		for i := range e.reported.Frontends {
			u.tracker.reported[e.reported.Frontends[i].key()] = e
		}
	}
}

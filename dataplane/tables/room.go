package tables

import (
	"iter"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// lacks returns an error that names the map without room for a spec, or nil. old, which may be nil, is what the service has
// installed and gives back first. What the next flush releases counts as used.
func (m *Mirror) lacks(spec *serviceSpec, old *installed) error {
	if old == nil {
		old = &installed{spec: &serviceSpec{}}
	}
	for _, r := range []struct {
		mapName string
		fits    bool
	}{
		{bpf.DatapathMapServiceNames, fits(m.ports.capacity-1-len(m.ports.names.entries), len(spec.ports), m.ports.refs,
			slices.Values(spec.ports), slices.Values(old.spec.ports))}, // 0 is no port
		{bpf.DatapathMapBackends, fits(m.backends.capacity-1-len(m.backends.entries), len(spec.backends), m.backends.refs,
			spec.backendIDs(), old.spec.backendIDs())}, // 0 is no backend
		{bpf.DatapathMapLocalBackends, fits(m.local.capacity-len(m.local.entries), len(spec.backends), m.local.refs,
			spec.localKeys(), old.spec.localKeys())},
		{bpf.DatapathMapRanges, fits(m.ranges.capacity-len(m.ranges.entries), len(spec.ranges), m.ranges.refs,
			m.rangeKeys(spec), m.rangeKeys(old.spec))},
		{bpf.DatapathMapFrontends, fits(m.frontends.capacity-len(m.frontends.entries), len(spec.frontends)+len(spec.guards), m.frontends.refs,
			spec.frontendKeys(), old.spec.frontendKeys())},
		{bpf.DatapathMapSlots, m.fitsRows(spec, old)},
	} {
		if !r.fits {
			return m.capacities.full(r.mapName)
		}
	}
	return nil
}

// absent is what refs returns for what has no entry.
const absent = -1

// fits reports whether there are free entries for all that is wanted, which is most at most, once old has given back what nobody
// else refers to.
func fits[K comparable](free, most int, refs func(K) int, wanted, old iter.Seq[K]) bool {
	if most <= free {
		return true
	}
	keep := make(map[K]bool, most)
	for key := range wanted {
		if !keep[key] && refs(key) == absent {
			free--
		}
		keep[key] = true
	}
	for key := range old {
		if !keep[key] && refs(key) == 1 {
			free++
		}
	}
	return free >= 0
}

// fitsRows is fits for sets of backends.
func (m *Mirror) fitsRows(spec *serviceSpec, old *installed) bool {
	rows := m.sets.rows
	need := uint32(0)
	for i := range spec.sets {
		need += bpf.RowsOf(spec.sets[i].size())
	}
	if len(m.sets.restored) > 0 || rows.largest() >= need {
		return true // if not, acquireSet finds out: sets that were read back are found by their content
	}
	free := rows.all()
	for _, t := range old.sets {
		if t.refs == 1 {
			free.insert(extent{t.set.First, bpf.RowsOf(t.set.Size)})
		}
	}
	for i := range spec.sets {
		if t := m.findSet(spec, i); t != nil && (t.refs > 1 || !slices.Contains(old.sets, t)) {
			continue // another service has it, too
		}
		if _, ok := free.allocate(bpf.RowsOf(spec.sets[i].size())); !ok {
			return false
		}
	}
	return true
}

// findSet is the set that the kernel has already for a spec's. It needs a number for each of its backends.
func (m *Mirror) findSet(spec *serviceSpec, set int) *backendSet {
	entries := make([]*backendEntry, len(spec.backends))
	for _, s := range spec.sets[set].shares {
		if entries[s.backend] = m.backends.find(&spec.backends[s.backend]); entries[s.backend] == nil {
			return nil
		}
	}
	r := spec.sets[set]
	return m.sets.entries[setKey(r, r.numbers(entries))]
}

func (spec *serviceSpec) backendIDs() iter.Seq[backendID] {
	return func(yield func(backendID) bool) {
		for i := range spec.backends {
			if !yield(spec.backends[i].backendID) {
				return
			}
		}
	}
}

// localKeys are those of the backends on this node.
func (spec *serviceSpec) localKeys() iter.Seq[bpf.DatapathServiceKey] {
	return func(yield func(bpf.DatapathServiceKey) bool) {
		for i := range spec.backends {
			if spec.backends[i].here && !yield(spec.backends[i].DatapathServiceKey) {
				return
			}
		}
	}
}

// frontendKeys are those of frontends and guards.
func (spec *serviceSpec) frontendKeys() iter.Seq[bpf.DatapathServiceKey] {
	return func(yield func(bpf.DatapathServiceKey) bool) {
		for i := range spec.frontends {
			if !yield(spec.frontends[i].key) {
				return
			}
		}
		for _, address := range spec.guards {
			if key, _ := guard(address); !yield(key) {
				return
			}
		}
	}
}

// rangeKeys are those of the source ranges. Ports that have no number yet are told apart by numbers that no port has.
func (m *Mirror) rangeKeys(spec *serviceSpec) iter.Seq[bpf.DatapathRangeKey] {
	return func(yield func(bpf.DatapathRangeKey) bool) {
		for _, r := range spec.ranges {
			key := r.DatapathRangeKey
			if port := m.ports.find(spec.ports[r.port]); port != nil {
				key.Service = port.number
			} else {
				key.Service = ^uint32(r.port)
			}
			if !yield(key) {
				return
			}
		}
	}
}

// refs is how many references an entry has, absent if there is none.
func (s *refmap[K, V]) refs(key K) int {
	if e := s.entries[key]; e != nil {
		return e.refs
	}
	return absent
}

func (s *backendRefs) refs(id backendID) int {
	if e := s.entries[id]; e != nil {
		return e.refs
	}
	return absent
}

func (s *portRefs) refs(name string) int {
	if p := s.entries[name]; p != nil {
		return s.names.refs(p.number)
	}
	return absent
}

package dataplane

import (
	"maps"
	"slices"
)

// book is what a node's maps hold, and who needs it: each service holds its frontends, backends, tables, source ranges and
// numbers, several of which services may share. It is pure: planning changes the book and says what to change in the kernel.
type book struct {
	place     *place
	services  map[string]*holding
	owners    map[datapathServiceKey]string // of frontends
	frontends *shelf[datapathServiceKey, datapathFrontend]
	tables    *tableShelf
	backends  *backendShelf
	local     *shelf[datapathServiceKey, datapathPod]
	ranges    *shelf[datapathRangeKey, uint8]
	ports     *portShelf
	pods      *shelf[datapathAddress, datapathPod]
	nodes     *shelf[datapathAddress, datapathNode]
	cluster   *shelf[datapathClusterKey, uint8]
}

// holding is what a service holds in the book.
type holding struct {
	form     *form
	ports    []*port
	backends []*backendEntry // as in form
	tables   []*table        // likewise
}

// capacities are those of the maps, by name.
type capacities map[string]uint32

func newBook(c capacities) *book {
	return &book{
		services:  make(map[string]*holding),
		owners:    make(map[datapathServiceKey]string),
		frontends: newShelf[datapathServiceKey, datapathFrontend](datapathMapFrontends, c[datapathMapFrontends]),
		tables:    newTableShelf(c[datapathMapSlots]),
		backends:  newBackendShelf(c[datapathMapBackends]),
		local:     newShelf[datapathServiceKey, datapathPod](datapathMapLocalBackends, c[datapathMapLocalBackends]),
		ranges:    newShelf[datapathRangeKey, uint8](datapathMapRanges, c[datapathMapRanges]),
		ports:     newPortShelf(c[datapathMapServiceNames]),
		pods:      newShelf[datapathAddress, datapathPod](datapathMapPods, c[datapathMapPods]),
		nodes:     newShelf[datapathAddress, datapathNode](datapathMapNodes, c[datapathMapNodes]),
		cluster:   newShelf[datapathClusterKey, uint8](datapathMapCluster, c[datapathMapCluster]),
	}
}

// hold makes a service's form part of the book.
func (b *book) hold(p *planner, service string, f *form) (*holding, error) {
	h := &holding{form: f}
	for i, name := range f.ports {
		port, err := b.holdPort(p, name, f.hasAffinity(i))
		if err != nil {
			return nil, err
		}
		h.ports = append(h.ports, port)
	}
	for i := range f.backends {
		e, err := b.holdBackend(p, &f.backends[i])
		if err != nil {
			return nil, err
		}
		h.backends = append(h.backends, e)
	}
	for i := range f.sets {
		t, err := b.holdTable(p, f, i, h.backends)
		if err != nil {
			return nil, err
		}
		h.tables = append(h.tables, t)
	}
	for _, r := range f.ranges {
		if err := b.ranges.hold(h.rangeKey(r), 1); err != nil {
			return nil, err
		}
	}
	return h, b.holdFrontends(service, h)
}

func (b *book) holdPort(p *planner, name string, affinity bool) (*port, error) {
	e := b.ports.find(name)
	for e == nil {
		var ok bool
		if e, ok = b.ports.add(name); ok {
			if affinity {
				p.forget = append(p.forget, forgotten{service: e.number})
			}
			p.fresh = append(p.fresh, change{mapName: datapathMapServiceCounters, key: e.number, value: datapathServiceCounter{}})
		} else if !p.relieve(b.ports.numbers) {
			return nil, fullError(datapathMapServiceNames, b.ports.capacity-1)
		}
	}
	return e, b.ports.hold(e)
}

func (b *book) holdBackend(p *planner, f *backendForm) (*backendEntry, error) {
	e := b.backends.find(f)
	for e == nil {
		var ok bool
		if e, ok = b.backends.add(f); !ok && !p.relieve(b.backends.numbers) {
			return nil, fullError(datapathMapBackends, b.backends.capacity-1)
		}
	}
	b.backends.hold(e, f)
	if f.here {
		return e, b.local.hold(f.datapathServiceKey, f.pod)
	}
	return e, nil
}

func (b *book) holdTable(p *planner, f *form, set int, backends []*backendEntry) (*table, error) {
	r := f.sets[set]
	key := tableKey(r, backends)
	if t := b.tables.entries[key]; t != nil {
		t.holders++
		return t, nil
	}
	slots, err := p.drafts.slots(f, set)
	if err != nil {
		return nil, err
	}
	content := rowsFor(slots, r, backends)
	t := b.tables.claim(key, r.size, content)
	for t == nil {
		var ok bool
		if t, ok = b.tables.add(key, r.size); ok {
			p.rows = append(p.rows, change{mapName: datapathMapSlots, key: t.set.First, value: content})
		} else if !p.relieve(b.tables.rows) {
			return nil, fullError(datapathMapSlots, b.tables.capacity)
		}
	}
	t.holders++
	return t, nil
}

func (b *book) holdFrontends(service string, h *holding) error {
	for i := range h.form.frontends {
		f := &h.form.frontends[i]
		if err := b.frontends.hold(f.key, h.frontend(f)); err != nil {
			return err
		}
		b.owners[f.key] = service
	}
	for _, address := range h.form.guards {
		if err := b.frontends.hold(guard(address)); err != nil {
			return err
		}
	}
	return nil
}

// frontend is a frontend's value, with the numbers of what it refers to.
func (h *holding) frontend(f *frontendForm) datapathFrontend {
	value := f.value
	value.Service = h.ports[f.port].number
	if f.outside != noSet {
		value.Outside = h.tables[f.outside].set
	}
	if f.inside != noSet {
		value.Inside = h.tables[f.inside].set
	}
	return value
}

// guard stands for all ports of an address that no frontend has.
func guard(address datapathAddress) (datapathServiceKey, datapathFrontend) {
	return datapathServiceKey{Address: address}, datapathFrontend{Kind: uint8(datapathFrontendKindFRONTEND_GUARD)}
}

func (h *holding) rangeKey(r rangeForm) datapathRangeKey {
	key := r.datapathRangeKey
	key.Service = h.ports[r.port].number
	return key
}

// release takes out of the book what a service held, where no other holds it.
func (b *book) release(service string, h *holding) {
	for i := range h.form.frontends {
		key := h.form.frontends[i].key
		b.frontends.release(key)
		if e := b.frontends.entries[key]; e.holders == 0 && b.owners[key] == service {
			delete(b.owners, key)
		}
	}
	for _, address := range h.form.guards {
		key, _ := guard(address)
		b.frontends.release(key)
	}
	for _, r := range h.form.ranges {
		b.ranges.release(h.rangeKey(r))
	}
	for _, t := range h.tables {
		b.tables.release(t)
	}
	for i, e := range h.backends {
		f := &h.form.backends[i]
		b.backends.release(e, f.draining)
		if f.here {
			b.local.release(f.datapathServiceKey)
		}
	}
	for _, port := range h.ports {
		b.ports.release(port)
	}
}

// forsake releases what was in the kernel when the book was read back. Whatever a service needs it holds itself by then.
func (b *book) forsake() {
	b.frontends.forsake()
	b.ranges.forsake()
	b.tables.forsake()
	b.backends.forsake()
	b.local.forsake()
	b.ports.forsake()
}

// spaces are all that hand out parts of arrays.
func (b *book) spaces() []*space {
	return []*space{b.tables.rows, b.backends.numbers, b.ports.numbers}
}

// sortedNames orders services, so that the same calls give the same plans.
func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

package dataplane

import (
	"maps"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// mirror is what a node's maps hold, with reference counts: each service refers to its frontends, backends, tables, source
// ranges and numbers, some of which services share. It is pure: planning changes the mirror and returns what to change in the
// kernel.
type mirror struct {
	view      *nodeView
	services  map[string]*installed
	owners    map[bpf.DatapathServiceKey]string // of frontends
	frontends *refmap[bpf.DatapathServiceKey, bpf.DatapathFrontend]
	tables    *tableRefs
	backends  *backendRefs
	local     *refmap[bpf.DatapathServiceKey, bpf.DatapathPod]
	ranges    *refmap[bpf.DatapathRangeKey, uint8]
	ports     *portRefs
	pods      *refmap[bpf.DatapathAddress, bpf.DatapathPod]
	nodes     *refmap[bpf.DatapathAddress, bpf.DatapathNode]
	cluster   *refmap[bpf.DatapathClusterKey, uint8]
}

// installed is what a service refers to in the mirror.
type installed struct {
	spec     *serviceSpec
	ports    []*port
	backends []*backendEntry // as in spec
	tables   []*table        // likewise
}

// capacities are those of the maps, by name.
type capacities map[string]uint32

func newMirror(c capacities) *mirror {
	return &mirror{
		services:  make(map[string]*installed),
		owners:    make(map[bpf.DatapathServiceKey]string),
		frontends: newRefmap[bpf.DatapathServiceKey, bpf.DatapathFrontend](bpf.DatapathMapFrontends, c[bpf.DatapathMapFrontends]),
		tables:    newTableRefs(c[bpf.DatapathMapSlots]),
		backends:  newBackendRefs(c[bpf.DatapathMapBackends]),
		local:     newRefmap[bpf.DatapathServiceKey, bpf.DatapathPod](bpf.DatapathMapLocalBackends, c[bpf.DatapathMapLocalBackends]),
		ranges:    newRefmap[bpf.DatapathRangeKey, uint8](bpf.DatapathMapRanges, c[bpf.DatapathMapRanges]),
		ports:     newPortRefs(c[bpf.DatapathMapServiceNames]),
		pods:      newRefmap[bpf.DatapathAddress, bpf.DatapathPod](bpf.DatapathMapPods, c[bpf.DatapathMapPods]),
		nodes:     newRefmap[bpf.DatapathAddress, bpf.DatapathNode](bpf.DatapathMapNodes, c[bpf.DatapathMapNodes]),
		cluster:   newRefmap[bpf.DatapathClusterKey, uint8](bpf.DatapathMapCluster, c[bpf.DatapathMapCluster]),
	}
}

// install adds a service to the mirror.
func (m *mirror) install(p *planner, service string, spec *serviceSpec) (*installed, error) {
	inst := &installed{spec: spec}
	for i, name := range spec.ports {
		port, err := m.acquirePort(p, name, spec.hasAffinity(i))
		if err != nil {
			return nil, err
		}
		inst.ports = append(inst.ports, port)
	}
	for i := range spec.backends {
		e, err := m.acquireBackend(p, &spec.backends[i])
		if err != nil {
			return nil, err
		}
		inst.backends = append(inst.backends, e)
	}
	for i := range spec.sets {
		t, err := m.acquireTable(p, spec, i, inst.backends)
		if err != nil {
			return nil, err
		}
		inst.tables = append(inst.tables, t)
	}
	for _, r := range spec.ranges {
		if err := m.ranges.acquire(inst.rangeKey(r), 1); err != nil {
			return nil, err
		}
	}
	return inst, m.acquireFrontends(service, inst)
}

func (m *mirror) acquirePort(p *planner, name string, affinity bool) (*port, error) {
	e := m.ports.find(name)
	for e == nil {
		var ok bool
		if e, ok = m.ports.add(name); ok {
			if affinity {
				p.endedAffinities = append(p.endedAffinities, affinityID{service: e.number})
			}
			p.fresh = append(p.fresh, change{mapName: bpf.DatapathMapServiceCounters, key: e.number, value: bpf.DatapathServiceCounter{}})
		} else if !p.makeRoom(m.ports.numbers) {
			return nil, fullError(bpf.DatapathMapServiceNames, m.ports.capacity-1)
		}
	}
	return e, m.ports.acquire(e)
}

func (m *mirror) acquireBackend(p *planner, spec *backendSpec) (*backendEntry, error) {
	e := m.backends.find(spec)
	for e == nil {
		var ok bool
		if e, ok = m.backends.add(spec); !ok && !p.makeRoom(m.backends.numbers) {
			return nil, fullError(bpf.DatapathMapBackends, m.backends.capacity-1)
		}
	}
	m.backends.acquire(e, spec)
	if spec.here {
		return e, m.local.acquire(spec.DatapathServiceKey, spec.pod)
	}
	return e, nil
}

func (m *mirror) acquireTable(p *planner, spec *serviceSpec, set int, backends []*backendEntry) (*table, error) {
	r := spec.sets[set]
	key := tableKey(r, backends)
	if t := m.tables.entries[key]; t != nil {
		t.refs++
		return t, nil
	}
	slots, err := p.tables.take(spec, set)
	if err != nil {
		return nil, err
	}
	content := rowsFor(slots, r, backends)
	t := m.tables.claim(key, r.size, content)
	for t == nil {
		var ok bool
		if t, ok = m.tables.add(key, r.size); ok {
			p.rows = append(p.rows, change{mapName: bpf.DatapathMapSlots, key: t.set.First, value: content})
		} else if !p.makeRoom(m.tables.rows) {
			return nil, fullError(bpf.DatapathMapSlots, m.tables.capacity)
		}
	}
	t.refs++
	return t, nil
}

func (m *mirror) acquireFrontends(service string, inst *installed) error {
	for i := range inst.spec.frontends {
		f := &inst.spec.frontends[i]
		if err := m.frontends.acquire(f.key, inst.frontend(f)); err != nil {
			return err
		}
		m.owners[f.key] = service
	}
	for _, address := range inst.spec.guards {
		if err := m.frontends.acquire(guard(address)); err != nil {
			return err
		}
	}
	return nil
}

// frontend is a frontend's value, with the numbers of what it refers to.
func (inst *installed) frontend(f *frontendSpec) bpf.DatapathFrontend {
	value := f.value
	value.Service = inst.ports[f.port].number
	if f.outside != noSet {
		value.Outside = inst.tables[f.outside].set
	}
	if f.inside != noSet {
		value.Inside = inst.tables[f.inside].set
	}
	return value
}

// guard stands for all ports of an address that no frontend has.
func guard(address bpf.DatapathAddress) (bpf.DatapathServiceKey, bpf.DatapathFrontend) {
	return bpf.DatapathServiceKey{Address: address}, bpf.DatapathFrontend{Kind: uint8(bpf.DatapathFrontendKindFRONTEND_GUARD)}
}

func (inst *installed) rangeKey(r rangeSpec) bpf.DatapathRangeKey {
	key := r.DatapathRangeKey
	key.Service = inst.ports[r.port].number
	return key
}

// uninstall drops the references of a service.
func (m *mirror) uninstall(service string, inst *installed) {
	for i := range inst.spec.frontends {
		key := inst.spec.frontends[i].key
		m.frontends.release(key)
		if e := m.frontends.entries[key]; e.refs == 0 && m.owners[key] == service {
			delete(m.owners, key)
		}
	}
	for _, address := range inst.spec.guards {
		key, _ := guard(address)
		m.frontends.release(key)
	}
	for _, r := range inst.spec.ranges {
		m.ranges.release(inst.rangeKey(r))
	}
	for _, t := range inst.tables {
		m.tables.release(t)
	}
	for i, e := range inst.backends {
		spec := &inst.spec.backends[i]
		m.backends.release(e, spec.draining)
		if spec.here {
			m.local.release(spec.DatapathServiceKey)
		}
	}
	for _, port := range inst.ports {
		m.ports.release(port)
	}
}

// releaseRestored drops the references to what was in the kernel when the mirror was restored. By then each service has
// references of its own to what it needs.
func (m *mirror) releaseRestored() {
	m.frontends.releaseRestored()
	m.ranges.releaseRestored()
	m.tables.releaseRestored()
	m.backends.releaseRestored()
	m.local.releaseRestored()
	m.ports.releaseRestored()
}

// freelists are those of all arrays.
func (m *mirror) freelists() []*freelist {
	return []*freelist{m.tables.rows, m.backends.numbers, m.ports.numbers}
}

// sortedNames orders services, so that the same calls give the same plans.
func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

package tables

import (
	"maps"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// Mirror is what a node's maps hold, with reference counts: each service refers to its frontends, backends, sets, source
// ranges and numbers, some of which services share. Planning changes the mirror and returns what to change in the maps: if that
// fails, the mirror is of no use any more, and is read back (see Restorer). It isn't safe for concurrent use.
type Mirror struct {
	capacities Capacities
	view       *nodeView
	services   map[string]*installed
	owners     map[bpf.DatapathServiceKey]string // of frontends
	frontends  *refmap[bpf.DatapathServiceKey, bpf.DatapathFrontend]
	sets       *setRefs
	backends   *backendRefs
	local      *refmap[bpf.DatapathServiceKey, bpf.DatapathPod]
	ranges     *refmap[bpf.DatapathRangeKey, uint8]
	ports      *portRefs
	pods       *refmap[bpf.DatapathAddress, bpf.DatapathPod]
	nodes      *refmap[bpf.DatapathAddress, bpf.DatapathNode]
	cluster    *refmap[bpf.DatapathClusterKey, uint8]
}

// installed is what a service refers to in the mirror.
type installed struct {
	spec     *serviceSpec
	ports    []*port
	backends []*backendEntry // as in spec
	sets     []*backendSet   // likewise
	fresh    []*backendSet   // those of them that were made for it, until it is whole
	ranges   int             // how many of spec's it has
}

func newMirror(c Capacities) *Mirror {
	return &Mirror{
		capacities: c,
		services:   make(map[string]*installed),
		owners:     make(map[bpf.DatapathServiceKey]string),
		frontends:  newRefmap[bpf.DatapathServiceKey, bpf.DatapathFrontend](bpf.DatapathMapFrontends, c[bpf.DatapathMapFrontends]),
		sets:       newSetRefs(c[bpf.DatapathMapSlots]),
		backends:   newBackendRefs(c[bpf.DatapathMapBackends]),
		local:      newRefmap[bpf.DatapathServiceKey, bpf.DatapathPod](bpf.DatapathMapLocalBackends, c[bpf.DatapathMapLocalBackends]),
		ranges:     newRefmap[bpf.DatapathRangeKey, uint8](bpf.DatapathMapRanges, c[bpf.DatapathMapRanges]),
		ports:      newPortRefs(c[bpf.DatapathMapServiceNames]),
		pods:       newRefmap[bpf.DatapathAddress, bpf.DatapathPod](bpf.DatapathMapPods, c[bpf.DatapathMapPods]),
		nodes:      newRefmap[bpf.DatapathAddress, bpf.DatapathNode](bpf.DatapathMapNodes, c[bpf.DatapathMapNodes]),
		cluster:    newRefmap[bpf.DatapathClusterKey, uint8](bpf.DatapathMapCluster, c[bpf.DatapathMapCluster]),
	}
}

// install adds a service to the mirror. After an error nothing of it stays.
func (m *Mirror) install(p *planner, service string, spec *serviceSpec) (*installed, error) {
	if m.lacks(spec, nil) != nil {
		p.flushServices() // what was replaced so far may make room
		if err := m.lacks(spec, nil); err != nil {
			return nil, err
		}
	}
	inst := &installed{spec: spec}
	if err := m.acquire(p, inst); err != nil {
		m.undo(p, inst)
		return nil, err
	}
	inst.fresh = nil
	m.acquireFrontends(p, service, inst)
	return inst, nil
}

// acquire adds references to all that the service's frontends refer to.
func (m *Mirror) acquire(p *planner, inst *installed) error {
	spec := inst.spec
	for i, name := range spec.ports {
		port, err := m.acquirePort(p, name, spec.hasAffinity(i))
		if err != nil {
			return err
		}
		inst.ports = append(inst.ports, port)
	}
	for i := range spec.backends {
		e, err := m.acquireBackend(p, &spec.backends[i])
		if err != nil {
			return err
		}
		inst.backends = append(inst.backends, e)
	}
	for i := range spec.sets {
		t, err := m.acquireSet(p, inst, i)
		if err != nil {
			return err
		}
		inst.sets = append(inst.sets, t)
	}
	for _, r := range spec.ranges {
		if err := m.ranges.acquire(inst.rangeKey(r), 1); err != nil {
			return err
		}
		inst.ranges++
	}
	return nil
}

// undo drops the references of a service that could not be acquired as a whole. No frontend refers to anything of it yet.
func (m *Mirror) undo(p *planner, inst *installed) {
	for _, t := range inst.fresh {
		p.rows = slices.DeleteFunc(p.rows, func(c Change) bool { return c.Key == t.set.First })
		m.sets.giveBack(t)
	}
	inst.sets = slices.DeleteFunc(inst.sets, func(t *backendSet) bool { return slices.Contains(inst.fresh, t) })
	m.release(inst)
}

func (m *Mirror) acquirePort(p *planner, name string, affinity bool) (*port, error) {
	e := m.ports.find(name)
	for e == nil {
		var ok bool
		if e, ok = m.ports.add(name); ok {
			if affinity {
				p.endedAffinities = append(p.endedAffinities, AffinityID{Service: e.number})
			}
			p.fresh = append(p.fresh, Change{Map: bpf.DatapathMapServiceCounters, Key: e.number, Value: bpf.DatapathServiceCounter{}})
		} else if !p.makeRoom(m.ports.numbers) {
			return nil, m.capacities.full(bpf.DatapathMapServiceNames)
		}
	}
	return e, m.ports.acquire(e)
}

func (m *Mirror) acquireBackend(p *planner, spec *backendSpec) (*backendEntry, error) {
	e := m.backends.find(spec)
	for e == nil {
		var ok bool
		if e, ok = m.backends.add(spec); !ok && !p.makeRoom(m.backends.numbers) {
			return nil, m.capacities.full(bpf.DatapathMapBackends)
		}
	}
	if spec.here {
		if err := m.local.acquire(spec.DatapathServiceKey, spec.pod); err != nil {
			return nil, err
		}
	}
	m.backends.acquire(e, spec)
	return e, nil
}

func (m *Mirror) acquireSet(p *planner, inst *installed, set int) (*backendSet, error) {
	r := inst.spec.sets[set]
	numbers := r.numbers(inst.backends)
	key := setKey(r, numbers)
	if t := m.sets.entries[key]; t != nil {
		t.refs++
		return t, nil
	}
	content := p.selections.take(inst.spec, set).rows(numbers)
	t := m.sets.claim(key, r.size(), content)
	for t == nil {
		var ok bool
		if t, ok = m.sets.add(key, r.size()); ok {
			inst.fresh = append(inst.fresh, t)
			p.rows = append(p.rows, Change{Map: bpf.DatapathMapSlots, Key: t.set.First, Value: content})
		} else if !p.makeRoom(m.sets.rows) {
			return nil, m.capacities.full(bpf.DatapathMapSlots)
		}
	}
	t.refs++
	return t, nil
}

// acquireFrontends makes the service the owner of its frontends. It finds room, since install has counted.
func (m *Mirror) acquireFrontends(p *planner, service string, inst *installed) {
	for i := range inst.spec.frontends {
		f := &inst.spec.frontends[i]
		m.frontends.add(f.key, inst.frontend(f))
		if owner, taken := m.owners[f.key]; taken && owner != service {
			p.taken = append(p.taken, takenFrontend{owner, f.key})
		}
		m.owners[f.key] = service
	}
	for _, address := range inst.spec.guards {
		m.frontends.add(guard(address))
	}
}

// frontend is a frontend's value, with the numbers of what it refers to.
func (inst *installed) frontend(f *frontendSpec) bpf.DatapathFrontend {
	value := f.value
	value.Service = inst.ports[f.port].number
	if f.outside != noSet {
		value.Outside = inst.sets[f.outside].set
	}
	if f.inside != noSet {
		value.Inside = inst.sets[f.inside].set
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
func (m *Mirror) uninstall(service string, inst *installed) {
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
	m.release(inst)
}

// release drops the references to what the service's frontends refer to, as far as it has any.
func (m *Mirror) release(inst *installed) {
	for _, r := range inst.spec.ranges[:inst.ranges] {
		m.ranges.release(inst.rangeKey(r))
	}
	for _, t := range inst.sets {
		m.sets.release(t)
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
func (m *Mirror) releaseRestored() {
	m.frontends.releaseRestored()
	m.ranges.releaseRestored()
	m.sets.releaseRestored()
	m.backends.releaseRestored()
	m.local.releaseRestored()
	m.ports.releaseRestored()
}

// freelists are those of all arrays.
func (m *Mirror) freelists() []*freelist {
	return []*freelist{m.sets.rows, m.backends.numbers, m.ports.numbers}
}

// sortedNames orders services, so that the same calls give the same plans.
func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

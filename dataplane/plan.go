package dataplane

import "fmt"

// change is one entry of one map that is put or deleted.
type change struct {
	mapName string
	delete  bool
	key     any // for slots the first row
	value   any // for slots all rows of a table
	// wait: nothing is changed, but for a moment packets get by that may still use what was freed before.
	wait bool
}

func (c change) String() string {
	switch {
	case c.wait:
		return "wait"
	case c.delete:
		return fmt.Sprintf("delete %s %+v", c.mapName, c.key)
	}
	return fmt.Sprintf("put %s %+v", c.mapName, c.key)
}

// planner collects the changes that a plan comes to, in an order in which no packet meets a half-made state: what is referred
// to is there before what refers to it, and goes after it.
type planner struct {
	mirror          *mirror
	changes         []change
	fresh           []change // what services' numbers start with
	rows            []change
	endedAffinities []affinityID // before frontends refer to the numbers
	tables          maglevTables
	superseded      []superseded
	releases        []func() // everything else that the next flush releases
}

// superseded is what a service had installed before.
type superseded struct {
	service   string
	installed *installed
}

// planAll makes the mirror hold exactly these specs, as the node sees them.
func planAll(m *mirror, v *nodeView, specs map[string]*serviceSpec) ([]change, error) {
	plan := &planner{mirror: m}
	if err := plan.setView(v); err != nil {
		return nil, err
	}
	for _, name := range sortedNames(m.services) {
		if _, ok := specs[name]; !ok {
			plan.remove(name)
		}
	}
	plan.tables = computeTables(m, specs)
	for _, name := range sortedNames(specs) {
		if err := plan.set(name, specs[name]); err != nil {
			return nil, err
		}
	}
	plan.releases = append(plan.releases, m.releaseRestored)
	plan.flush()
	return plan.changes, nil
}

// setView makes the mirror hold the pods, nodes and prefixes of a view.
func (p *planner) setView(to *nodeView) error {
	before := p.mirror.view
	if before == nil {
		before = &nodeView{}
	}
	p.mirror.view = to
	p.releases = append(p.releases, p.mirror.pods.releaseRestored, p.mirror.nodes.releaseRestored, p.mirror.cluster.releaseRestored)
	if err := replace(p, p.mirror.pods, before.pods, to.pods); err != nil {
		return err
	}
	if err := replace(p, p.mirror.nodes, before.nodes, to.nodes); err != nil {
		return err
	}
	return replace(p, p.mirror.cluster, before.cluster, to.cluster)
}

func replace[K, V comparable](p *planner, s *refmap[K, V], was, to map[K]V) error {
	for key, value := range to {
		if err := s.acquire(key, value); err != nil {
			return err
		}
	}
	p.releases = append(p.releases, func() {
		for key := range was {
			s.release(key)
		}
	})
	return nil
}

// set installs a service's new spec; the old one is released by the next flush.
func (p *planner) set(name string, spec *serviceSpec) error {
	old := p.mirror.services[name]
	if old != nil && old.spec.equal(spec) {
		return nil
	}
	inst, err := p.mirror.install(p, name, spec)
	if err != nil {
		return fmt.Errorf("service %s: %w", name, err)
	}
	p.mirror.services[name] = inst
	if old != nil {
		p.superseded = append(p.superseded, superseded{name, old})
	}
	return nil
}

func (p *planner) remove(name string) {
	if old := p.mirror.services[name]; old != nil {
		delete(p.mirror.services, name)
		p.superseded = append(p.superseded, superseded{name, old})
	}
}

// flush writes what is referred to, then releases and deletes what is not.
func (p *planner) flush() {
	m := p.mirror
	p.emit(m.pods.puts(), m.nodes.puts(), m.cluster.puts())
	if serial, ok := m.backends.reserve(); ok {
		p.emit([]change{putReserved(serial)})
	}
	p.emit(m.ports.names.puts(), p.fresh, endAffinities(p.endedAffinities), m.local.puts(), m.backends.puts(), p.rows, m.ranges.puts(), m.frontends.puts())
	p.fresh, p.rows, p.endedAffinities = nil, nil, nil
	var forgets []affinityID
	for _, l := range p.superseded {
		m.uninstall(l.service, l.installed)
		forgets = append(forgets, lostAffinities(l.installed, m.services[l.service])...)
	}
	for _, release := range p.releases {
		release()
	}
	p.superseded, p.releases = nil, nil
	p.emit(m.frontends.deletes(), m.ranges.deletes(), endAffinities(forgets))
	m.tables.frees()
	p.emit(m.backends.frees(), m.local.deletes(), m.ports.deletes(), m.cluster.deletes(), m.nodes.deletes(), m.pods.deletes())
}

func (p *planner) emit(groups ...[]change) {
	for _, group := range groups {
		p.changes = append(p.changes, group...)
	}
}

// makeRoom makes room in a freelist that has none left: what services no longer use is deleted, and what is in quarantine
// becomes available after a wait. It reports whether there may be room now.
func (p *planner) makeRoom(s *freelist) bool {
	replaced := p.releases
	p.releases = nil
	p.flush()
	p.releases = replaced
	if !s.hasUnavailable() {
		return false
	}
	p.emit([]change{{wait: true}})
	for _, s := range p.mirror.freelists() {
		s.releaseAll()
	}
	return true
}

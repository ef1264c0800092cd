package tables

import (
	"maps"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// QuarantineTime is how long freed entries are not reused: longer than any packet is on its way through a program.
const QuarantineTime = time.Second

// Plan is what makes maps hold a desired state.
type Plan struct {
	// Changes are in an order in which no packet meets a half-made state.
	Changes []Change
	mirror  *Mirror
	note    func() // notes in the desired state what is refused
}

// Done tells mirror and desired state that all changes were made. If one fails it is not called: the desired state is as before, but
// the mirror no longer matches the maps, and is to be read back.
func (p *Plan) Done(now time.Time) {
	p.note()
	for _, s := range p.mirror.freelists() {
		s.quarantinePending(now)
	}
}

// Plan plans all of a desired state, as far as there is room, and makes the mirror hold it. What was freed long enough before now is
// used again.
func (m *Mirror) Plan(want *Desired, now time.Time) *Plan {
	m.releaseQuarantined(now)
	p := planAll(m, want)
	return &Plan{Changes: p.changes, mirror: m, note: func() {
		want.leftOut = append(want.leftOut, p.leftOut...)
		want.refused = make(map[string]services.Problem)
		for _, errs := range []map[string]error{want.invalid, p.refused} {
			for name, err := range errs {
				want.refuse(m, name, err)
			}
		}
	}}
}

// releaseQuarantined makes available what has been in quarantine long enough.
func (m *Mirror) releaseQuarantined(now time.Time) {
	for _, s := range m.freelists() {
		s.releaseBefore(now.Add(-QuarantineTime))
	}
}

// planner collects the changes that a plan comes to, in an order in which no packet meets a half-made state: what is referred
// to is there before what refers to it, and goes after it. What finds no room is left out and noted; nothing else depends on it.
type planner struct {
	mirror          *Mirror
	changes         []Change
	refused         map[string]error   // services, and why
	leftOut         []services.Problem // of the view
	fresh           []Change           // what services' numbers start with
	rows            []Change
	endedAffinities []AffinityID // before frontends refer to the numbers
	selections      selections
	superseded      []superseded
	taken           []takenFrontend
	releases        []func() // everything else that the next flush releases
	late            []func() // what found no room in the view, tried again when everything else is released
	waits           int
}

// superseded is what a service had installed before.
type superseded struct {
	service   string
	installed *installed
	selected  *installed // what the service selected from before, to end affinities; nil: they stay
}

// takenFrontend is a frontend that a service has got while another one, which is to lose it, still has it.
type takenFrontend struct {
	from string
	key  bpf.DatapathServiceKey
}

func newPlanner(m *Mirror) *planner { return &planner{mirror: m, refused: make(map[string]error)} }

// planAll makes the mirror hold exactly this state, as far as there is room. Pods, nodes and prefixes come first, then services by
// precedence. A service that finds no room is tried again when everything that is not needed any more has gone, and then may be
// exchanged (see exchange).
func planAll(m *Mirror, want *Desired) *planner {
	p := newPlanner(m)
	p.setView(want.view)
	for _, name := range sortedNames(m.services) {
		_, isRefused := want.invalid[name]
		if want.specs[name] == nil && !isRefused {
			p.remove(name)
		}
	}
	p.selections = computeSelections(m, want.specs)
	var again, kept []string
	for _, name := range want.ordered() {
		if err := p.set(name, want.specs[name]); err != nil {
			again = append(again, name)
		}
	}
	for _, name := range again {
		if m.services[name] == nil && p.keepFrontends(name, want.specs[name]) {
			kept = append(kept, name)
		}
	}
	p.releases = append(p.releases, m.releaseRestored)
	p.flush()
	for _, tryAgain := range p.late {
		tryAgain()
	}
	for before := -1; len(again) != before; p.flush() { // what one of them gives back can be room for another one
		before = len(again)
		again = slices.DeleteFunc(again, func(name string) bool {
			p.refused[name] = p.setOrExchange(name, want.specs[name])
			return p.refused[name] == nil
		})
	}
	maps.DeleteFunc(p.refused, func(_ string, err error) bool { return err == nil })
	for _, name := range kept {
		if p.refused[name] != nil {
			p.remove(name)
		}
	}
	p.flush()
	return p
}

// setView makes the mirror hold the pods, nodes and prefixes of a view. What finds no room is taken out of the view.
func (p *planner) setView(to *nodeView) {
	before := p.mirror.view
	if before == nil {
		before = &nodeView{}
	}
	p.mirror.view = to
	p.releases = append(p.releases, p.mirror.pods.releaseRestored, p.mirror.nodes.releaseRestored, p.mirror.cluster.releaseRestored)
	replace(p, p.mirror.pods, before.pods, to.pods, bpf.DatapathAddress.Compare)
	replace(p, p.mirror.nodes, before.nodes, to.nodes, bpf.DatapathAddress.Compare)
	replace(p, p.mirror.cluster, before.cluster, to.cluster, bpf.DatapathClusterKey.Compare)
}

// replace acquires all of to, in the order of their keys, and lets the next flush release what was there before.
func replace[K, V comparable](p *planner, s *refmap[K, V], was, to map[K]V, compare func(K, K) int) {
	held := maps.Clone(was)
	for _, key := range slices.SortedFunc(maps.Keys(to), compare) {
		value := to[key]
		if s.acquire(key, value) == nil {
			continue
		}
		p.late = append(p.late, func() {
			if err := s.acquire(key, value); err != nil {
				delete(to, key)
				p.leftOut = append(p.leftOut, problemOf(p.mirror.view.objects[key], err))
			}
		})
	}
	p.releases = append(p.releases, func() {
		for key := range held {
			s.release(key)
		}
	})
}

// set installs a service's new spec; the old one is released by the next flush. After an error the old one stays.
func (p *planner) set(name string, spec *serviceSpec) error {
	old := p.mirror.services[name]
	if old != nil && old.spec.equal(spec) {
		return nil
	}
	inst, err := p.mirror.install(p, name, spec)
	if err != nil {
		return err
	}
	p.mirror.services[name] = inst
	if old != nil {
		p.superseded = append(p.superseded, superseded{name, old, old})
	}
	return nil
}

func (p *planner) remove(name string) {
	if old := p.mirror.services[name]; old != nil {
		delete(p.mirror.services, name)
		p.superseded = append(p.superseded, superseded{name, old, old})
	}
}

// flush writes what is referred to, then releases and deletes what is not.
func (p *planner) flush() {
	m := p.mirror
	p.emit(m.pods.puts(), m.nodes.puts(), m.cluster.puts())
	if serial, ok := m.backends.reserve(); ok {
		p.emit([]Change{putReserved(serial)})
	}
	p.emit(m.ports.names.puts(), p.fresh, endAffinities(p.endedAffinities), m.local.puts(), m.backends.puts(), p.rows, m.ranges.puts(), m.frontends.puts())
	p.fresh, p.rows, p.endedAffinities = nil, nil, nil
	for _, t := range p.taken {
		m.takeAway(t)
	}
	var forgets []AffinityID
	for _, l := range p.superseded {
		m.uninstall(l.service, l.installed)
		if l.selected != nil {
			forgets = append(forgets, lostAffinities(l.selected, m.services[l.service])...)
		}
	}
	for _, release := range p.releases {
		release()
	}
	p.superseded, p.releases, p.taken = nil, nil, nil
	p.emit(m.frontends.deletes(), m.ranges.deletes(), endAffinities(forgets))
	m.sets.frees()
	p.emit(m.backends.frees(), m.local.deletes(), m.ports.deletes(), m.cluster.deletes(), m.nodes.deletes(), m.pods.deletes())
}

// flushServices is flush, but for what is released only when all services are as they are to be.
func (p *planner) flushServices() {
	releases := p.releases
	p.releases = nil
	p.flush()
	p.releases = releases
}

func (p *planner) emit(groups ...[]Change) {
	for _, group := range groups {
		p.changes = append(p.changes, group...)
	}
}

// waitsAtOnce bounds how long a plan holds up everything that comes after it. What would have to wait longer is refused, and finds
// that its quarantine is over when it is tried again.
const waitsAtOnce = 8

// makeRoom makes room in a freelist that has none left: what services no longer use is deleted, and what is in quarantine
// becomes available after a wait. It reports whether there may be room now.
func (p *planner) makeRoom(s *freelist) bool {
	p.flushServices()
	if !s.hasUnavailable() || p.waits >= waitsAtOnce {
		return false
	}
	p.wait()
	return true
}

// wait makes all available that was freed so far.
func (p *planner) wait() {
	p.waits++
	p.emit([]Change{{Wait: true}})
	for _, s := range p.mirror.freelists() {
		s.releaseAll()
	}
}

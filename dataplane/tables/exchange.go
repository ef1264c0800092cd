package tables

import (
	"slices"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// setOrExchange is set, but a service that finds no room otherwise is exchanged.
func (p *planner) setOrExchange(name string, spec *serviceSpec) error {
	err := p.set(name, spec)
	if err != nil && p.exchange(name, spec) {
		return nil
	}
	return err
}

// exchange installs a spec that finds room only when the service's old one has gone, as in a table that is exactly full. In between,
// for about a second, the service's frontends have no backends to select: packets of new flows are dropped, and clients send them
// again. Flows that have a backend keep it. Other services notice nothing. It does nothing, and reports false, if there is no room
// even then.
func (p *planner) exchange(name string, spec *serviceSpec) bool {
	m := p.mirror
	old := m.services[name]
	if old == nil || p.waits >= waitsAtOnce {
		return false
	}
	p.flushServices()
	emptied := m.emptied(spec)
	if m.lacks(spec, old) != nil || !emptied.hasAll(old.spec, spec) {
		return false
	}
	between, err := m.install(p, name, emptied) // of what there is already
	if err != nil {
		return false
	}
	m.services[name] = between
	p.superseded = append(p.superseded, superseded{name, old, nil})
	p.flushServices()
	p.wait()
	for _, next := range []*serviceSpec{spec, old.spec} { // room for the new one was counted, and there was room for the old one
		inst, err := m.install(p, name, next)
		if err == nil {
			m.services[name] = inst
			p.superseded = append(p.superseded, superseded{name, between, old})
			return next == spec
		}
	}
	return false
}

// keepFrontends keeps the frontends that were read back from the kernel in place, without backends to select, for a service that
// finds no room yet.
func (p *planner) keepFrontends(name string, spec *serviceSpec) bool {
	emptied := p.mirror.emptied(spec)
	if len(emptied.frontends) == 0 {
		return false
	}
	return p.set(name, emptied) == nil
}

// emptied returns the part of a spec that the maps hold already, without sets of backends: frontends have no backends to select, but flows
// keep theirs.
func (m *Mirror) emptied(spec *serviceSpec) *serviceSpec {
	kept := &serviceSpec{}
	for _, f := range spec.frontends {
		name := spec.ports[f.port]
		if m.frontends.refs(f.key) == absent || m.ports.find(name) == nil {
			continue
		}
		if f.port = slices.Index(kept.ports, name); f.port < 0 {
			f.port = len(kept.ports)
			kept.ports = append(kept.ports, name)
		}
		f.outside, f.inside = noSet, noSet
		f.value.Flags &^= uint8(bpf.DatapathFrontendFlagsFRONTEND_EMPTY | bpf.DatapathFrontendFlagsFRONTEND_RANGES) // neither is true now
		kept.frontends = append(kept.frontends, f)
	}
	for _, b := range spec.backends {
		if m.backends.find(&b) != nil && (!b.here || m.local.refs(b.DatapathServiceKey) != absent) {
			kept.backends = append(kept.backends, b)
		}
	}
	for _, address := range spec.guards {
		if key, _ := guard(address); m.frontends.refs(key) != absent {
			kept.guards = append(kept.guards, address)
		}
	}
	return kept
}

// hasAll reports whether a spec has each frontend that two others have in common.
func (spec *serviceSpec) hasAll(a, b *serviceSpec) bool {
	has := make(map[bpf.DatapathServiceKey]bool, len(spec.frontends))
	for key := range spec.frontendKeys() {
		has[key] = true
	}
	inA := make(map[bpf.DatapathServiceKey]bool, len(a.frontends))
	for key := range a.frontendKeys() {
		inA[key] = true
	}
	for key := range b.frontendKeys() {
		if inA[key] && !has[key] {
			return false
		}
	}
	return true
}

func (spec *serviceSpec) has(key bpf.DatapathServiceKey) bool {
	return slices.ContainsFunc(spec.frontends, func(f frontendSpec) bool { return f.key == key })
}

// takeAway lets a service forget a frontend that another one has now.
func (m *Mirror) takeAway(t takenFrontend) {
	inst := m.services[t.from]
	if inst == nil || !inst.spec.has(t.key) || m.owners[t.key] == t.from {
		return
	}
	spec := *inst.spec
	spec.frontends = slices.DeleteFunc(slices.Clone(spec.frontends), func(f frontendSpec) bool { return f.key == t.key })
	inst.spec = &spec
	m.frontends.release(t.key)
	if !slices.ContainsFunc(spec.frontends, func(f frontendSpec) bool { return f.key.Address == t.key.Address }) {
		spec.guards = slices.DeleteFunc(slices.Clone(spec.guards), func(a bpf.DatapathAddress) bool {
			if a != t.key.Address {
				return false
			}
			key, _ := guard(a)
			m.frontends.release(key)
			return true
		})
	}
}

package tables

import (
	"time"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// PlanService plans the new frontends and backends of one service, named namespace/name, which are all that t has; where it has none
// the service goes. want is the desired state in force: the last one planned. It costs what changes, however many services there are.
// What can't be used or finds no room is refused, and the service stays as it was; others that are refused are not tried again.
func (m *Mirror) PlanService(want *Desired, service string, t *services.Tables, now time.Time) *Plan {
	m.releaseQuarantined(now)
	spec, err := compileOne(want.view, service, t)
	if err == nil {
		err = m.checkOwners(want, service, spec)
	}
	if err != nil {
		return &Plan{mirror: m, note: func() {
			delete(want.specs, service)
			want.invalid[service] = err
			want.refuse(m, service, err)
		}}
	}
	changed := map[string]*serviceSpec{service: spec}
	if unclaimed := want.specs[""]; unclaimed != nil {
		if remaining := unclaimed.without(spec.backends); len(remaining.backends) < len(unclaimed.backends) {
			changed[""] = remaining // they belong to the service now
		}
	}
	p := newPlanner(m)
	for _, name := range []string{service, ""} {
		if spec, ok := changed[name]; !ok {
			continue
		} else if spec.isEmpty() {
			p.remove(name)
		} else if err := p.setOrExchange(name, spec); err != nil {
			p.refused[name] = err
		}
	}
	p.flush()
	return &Plan{Changes: p.changes, mirror: m, note: func() { want.replace(m, changed, p.refused) }}
}

// replace notes the new specs of services, and which of them are refused.
func (d *Desired) replace(m *Mirror, changed map[string]*serviceSpec, refused map[string]error) {
	for name, spec := range changed {
		delete(d.invalid, name)
		delete(d.refused, name)
		if d.specs[name] = spec; spec.isEmpty() {
			delete(d.specs, name)
		}
	}
	for name, err := range refused {
		d.refuse(m, name, err)
	}
}

// checkOwners finds frontends of a spec that another service has, and is to keep.
func (m *Mirror) checkOwners(want *Desired, service string, spec *serviceSpec) error {
	for i := range spec.frontends {
		key := spec.frontends[i].key
		owner, taken := m.owners[key]
		if !taken || owner == service {
			continue
		}
		if other := want.specs[owner]; other == nil || other.has(key) {
			return takenError(key, owner)
		}
	}
	return nil
}

// without returns the spec, which has nothing but backends, less some of them.
func (spec *serviceSpec) without(backends []backendSpec) *serviceSpec {
	gone := make(map[backendID]bool, len(backends))
	for i := range backends {
		gone[backends[i].backendID] = true
	}
	remaining := &serviceSpec{}
	for _, b := range spec.backends {
		if !gone[b.backendID] {
			remaining.backends = append(remaining.backends, b)
		}
	}
	return remaining
}

func (spec *serviceSpec) isEmpty() bool { return len(spec.frontends) == 0 && len(spec.backends) == 0 }

package dataplane

import (
	"errors"
	"fmt"
	"time"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// ErrNotApplied is returned by Update when there was no Apply before.
var ErrNotApplied = errors.New("the whole state has to be applied first")

// quarantineTime is how long freed entries are not reused: longer than any packet is on its way through a program.
const quarantineTime = time.Second

// clock is the time. Tests have their own.
type clock interface {
	now() time.Time
	sleep(time.Duration)
}

type systemClock struct{}

func (systemClock) now() time.Time        { return time.Now() }
func (systemClock) sleep(d time.Duration) { time.Sleep(d) }

// desiredState is what the maps are to hold, according to the last Apply and the Updates since.
type desiredState struct {
	view  *nodeView
	specs map[string]*serviceSpec // by service; "" has the backends without a frontend
}

// Apply makes the tables hold state. Only what differs is written, in an order in which no packet meets a half-made state.
// It returns how many entries changed; a Maglev table counts as one. Flows of backends that stay are not touched. The first
// call reads back what an earlier process has left, so that numbers, and flows with them, go on. After an error the next
// call reads all back. One process at a time may change a node's tables.
func (d *DataPath) Apply(state State) (int, error) {
	v, err := newNodeView(state)
	if err != nil {
		return 0, fmt.Errorf("apply: %w", err)
	}
	tables := state.Tables
	if tables == nil {
		tables = &services.Tables{}
	}
	specs, err := compileAll(v, tables)
	if err != nil {
		return 0, fmt.Errorf("apply: %w", err)
	}
	n, err := d.reconcile(desiredState{v, specs})
	if err != nil {
		return n, fmt.Errorf("apply: %w", err)
	}
	return n, nil
}

// Update makes the tables hold one service's new frontends and backends, which are all that tables has; where it has none
// the service goes. service is namespace/name. It costs what changes, however many services there are. It returns how
// many entries changed, or ErrNotApplied when there was no Apply before.
func (d *DataPath) Update(service string, tables *services.Tables) (int, error) {
	if d.desired == nil {
		return 0, fmt.Errorf("update service %s: %w", service, ErrNotApplied)
	}
	if service == "" {
		return 0, errors.New("update service: must be named")
	}
	if tables == nil {
		tables = &services.Tables{}
	}
	spec, err := compileOne(d.desired.view, service, tables)
	if err != nil {
		return 0, fmt.Errorf("update service %s: %w", service, err)
	}
	n, err := d.change(service, spec)
	if err != nil {
		return n, fmt.Errorf("update service %s: %w", service, err)
	}
	return n, nil
}

// change carries out an Update. The desired state changes only if it succeeds.
func (d *DataPath) change(service string, spec *serviceSpec) (int, error) {
	n := 0
	if d.mirror == nil {
		var err error
		if n, err = d.reconcile(*d.desired); err != nil {
			return n, err
		}
	}
	if err := d.mirror.checkOwners(service, spec); err != nil {
		return n, err
	}
	changed := map[string]*serviceSpec{service: spec}
	if unclaimed := d.desired.specs[""]; unclaimed != nil {
		if remaining := unclaimed.without(spec.backends); len(remaining.backends) < len(unclaimed.backends) {
			changed[""] = remaining // they belong to the service now
		}
	}
	d.releaseQuarantined()
	plan := &planner{mirror: d.mirror}
	for _, name := range []string{service, ""} {
		if spec, ok := changed[name]; !ok {
			continue
		} else if spec.isEmpty() {
			plan.remove(name)
		} else if err := plan.set(name, spec); err != nil {
			d.mirror = nil
			return n, err
		}
	}
	plan.flush()
	made, err := d.execute(plan.changes)
	if err != nil {
		return n + made, err
	}
	for name, spec := range changed {
		if d.desired.specs[name] = spec; spec.isEmpty() {
			delete(d.desired.specs, name)
		}
	}
	return n + made, nil
}

// reconcile makes the maps hold all of the desired state, and keeps it as the one in force.
func (d *DataPath) reconcile(desired desiredState) (int, error) {
	if d.mirror == nil {
		m, err := d.restoreMirror()
		if err != nil {
			return 0, err
		}
		d.mirror = m
	}
	d.releaseQuarantined()
	changes, err := planAll(d.mirror, desired.view, desired.specs)
	if err != nil {
		d.mirror = nil // planning has changed it
		return 0, err
	}
	n, err := d.execute(changes)
	if err != nil {
		return n, err
	}
	d.desired = &desired
	return n, nil
}

// releaseQuarantined frees what has been in quarantine long enough.
func (d *DataPath) releaseQuarantined() {
	for _, s := range d.mirror.freelists() {
		s.releaseBefore(d.time().now().Add(-quarantineTime))
	}
}

// execute makes the changes. If one fails, the mirror no longer matches the maps and is discarded.
func (d *DataPath) execute(changes []change) (int, error) {
	writers := d.writers()
	made := 0
	for len(changes) > 0 {
		run := firstRun(changes)
		if err := d.make(run, writers); err != nil {
			d.mirror = nil
			return made, fmt.Errorf("%s and %d more: %w", run[0], len(run)-1, err)
		}
		if !run[0].wait {
			made += len(run)
		}
		changes = changes[len(run):]
	}
	for _, s := range d.mirror.freelists() {
		s.quarantinePending(d.time().now())
	}
	return made, nil
}

// firstRun are the changes that one batch can make.
func firstRun(changes []change) []change {
	n := 1
	for n < len(changes) && changes[n].mapName == changes[0].mapName && changes[n].delete == changes[0].delete {
		n++
	}
	return changes[:n]
}

func (d *DataPath) make(run []change, writers map[string]writer) error {
	switch {
	case run[0].wait:
		d.time().sleep(quarantineTime)
		return nil
	case run[0].delete:
		return writers[run[0].mapName].delete(run)
	}
	return writers[run[0].mapName].put(run)
}

func (d *DataPath) time() clock {
	if d.clock == nil {
		return systemClock{}
	}
	return d.clock
}

// checkOwners finds frontends of f that another service has.
func (m *mirror) checkOwners(service string, spec *serviceSpec) error {
	var errs []error
	for i := range spec.frontends {
		key := spec.frontends[i].key
		if owner, taken := m.owners[key]; taken && owner != service {
			errs = append(errs, fmt.Errorf("frontend %s is that of service %s", keyText(key), owner))
		}
	}
	return errors.Join(errs...)
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

// keyText is ADDRESS:PORT/PROTOCOL.
func keyText(k bpf.DatapathServiceKey) string {
	return addrPort(k.Address, k.Port).String() + "/" + protocolName(k.Protocol)
}

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

// desiredState is what the maps are to hold, according to the last Apply and the Updates since, and what of it they can't hold.
type desiredState struct {
	view       *nodeView
	specs      map[string]*serviceSpec // by service; "" has the backends without a frontend
	invalid    map[string]error        // services without a spec, and why
	leftOut    []services.Problem      // nodes and pods
	refused    map[string]services.Problem
	precedence func(a, b string) int
}

// Apply makes the tables hold state. Only what differs is written, in an order in which no packet meets a half-made state.
// Flows of backends that stay are not touched. The first call reads back what an earlier process has left, so that numbers, and
// flows with them, go on. One process at a time may change a node's tables.
//
// Pods, nodes and prefixes come first, then services (see State.Precedence). What can't be programmed is left out and reported,
// and nothing else is: a service that was there before stays as it was. Each Apply tries again. In a full map a service can still
// change: if there is no other room its old entries are released before the new ones are made, and meanwhile, for about a
// second, new flows of this one service meet no backend.
//
// An error is one of the kernel's, or of the mirror of its maps; the next call reads all back.
func (d *DataPath) Apply(state State) (Result, error) {
	v, problems := newNodeView(state)
	tables := state.Tables
	if tables == nil {
		tables = &services.Tables{}
	}
	desired := desiredState{view: v, leftOut: problems, precedence: state.Precedence}
	desired.specs, desired.invalid = compileAll(v, tables)
	n, err := d.reconcile(desired)
	if err != nil {
		return Result{Changed: n}, fmt.Errorf("apply: %w", err)
	}
	return Result{n, d.desired.refusals()}, nil
}

// Update makes the tables hold one service's new frontends and backends, which are all that tables has; where it has none
// the service goes. service is namespace/name. It costs what changes, however many services there are. It returns
// ErrNotApplied when there was no Apply before. Like Apply it leaves out what can't be programmed; others that are left out are
// not tried again.
func (d *DataPath) Update(service string, tables *services.Tables) (Result, error) {
	if d.desired == nil {
		return Result{}, fmt.Errorf("update service %s: %w", service, ErrNotApplied)
	}
	if service == "" {
		return Result{}, errors.New("update service: must be named")
	}
	if tables == nil {
		tables = &services.Tables{}
	}
	n := 0
	if d.mirror == nil {
		var err error
		if n, err = d.reconcile(*d.desired); err != nil {
			return Result{Changed: n}, fmt.Errorf("update service %s: %w", service, err)
		}
	}
	spec, err := compileOne(d.desired.view, service, tables)
	if err == nil {
		err = d.checkOwners(service, spec)
	}
	if err != nil {
		delete(d.desired.specs, service)
		d.desired.invalid[service] = err
		d.desired.refuse(d.mirror, service, err)
		return Result{n, d.desired.refusals()}, nil
	}
	made, err := d.change(service, spec)
	if err != nil {
		return Result{Changed: n + made}, fmt.Errorf("update service %s: %w", service, err)
	}
	return Result{n + made, d.desired.refusals()}, nil
}

// change carries out an Update. The desired state changes only if it succeeds.
func (d *DataPath) change(service string, spec *serviceSpec) (int, error) {
	changed := map[string]*serviceSpec{service: spec}
	if unclaimed := d.desired.specs[""]; unclaimed != nil {
		if remaining := unclaimed.without(spec.backends); len(remaining.backends) < len(unclaimed.backends) {
			changed[""] = remaining // they belong to the service now
		}
	}
	d.releaseQuarantined()
	plan := newPlanner(d.mirror)
	for _, name := range []string{service, ""} {
		if spec, ok := changed[name]; !ok {
			continue
		} else if spec.isEmpty() {
			plan.remove(name)
		} else if err := plan.setOrExchange(name, spec); err != nil {
			plan.refused[name] = err
		}
	}
	plan.flush()
	made, err := d.execute(plan.changes)
	if err != nil {
		return made, err
	}
	for name, spec := range changed {
		delete(d.desired.invalid, name)
		delete(d.desired.refused, name)
		if d.desired.specs[name] = spec; spec.isEmpty() {
			delete(d.desired.specs, name)
		}
	}
	for name, err := range plan.refused {
		d.desired.refuse(d.mirror, name, err)
	}
	return made, nil
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
	plan := planAll(d.mirror, &desired)
	n, err := d.execute(plan.changes)
	if err != nil {
		return n, err
	}
	desired.leftOut = append(desired.leftOut, plan.leftOut...)
	desired.refused = make(map[string]services.Problem)
	for _, errs := range []map[string]error{desired.invalid, plan.refused} {
		for name, err := range errs {
			desired.refuse(d.mirror, name, err)
		}
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

// checkOwners finds frontends of a spec that another service has, and is to keep.
func (d *DataPath) checkOwners(service string, spec *serviceSpec) error {
	for i := range spec.frontends {
		key := spec.frontends[i].key
		owner, taken := d.mirror.owners[key]
		if !taken || owner == service {
			continue
		}
		if other := d.desired.specs[owner]; other == nil || other.has(key) {
			return takenError(key, owner)
		}
	}
	return nil
}

// takenError reports that a frontend is another service's.
func takenError(key bpf.DatapathServiceKey, owner string) error {
	return &refusal{"frontend " + keyText(key), "it is that of service " + owner, "one service at a time can have it"}
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

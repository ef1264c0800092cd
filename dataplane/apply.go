package dataplane

import (
	"errors"
	"fmt"
	"time"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/dataplane/tables"
)

// ErrNotApplied is returned by Update when there was no Apply before.
var ErrNotApplied = errors.New("the whole state has to be applied first")

// clock is the time. Tests have their own.
type clock interface {
	now() time.Time
	sleep(time.Duration)
}

type systemClock struct{}

func (systemClock) now() time.Time        { return time.Now() }
func (systemClock) sleep(d time.Duration) { time.Sleep(d) }

// Result is what Apply or Update came to.
type Result struct {
	// Changed is how many entries of maps changed; a set of backends counts as one.
	Changed int
	// Refused are all objects that the data path does not hold as they are meant to be: what can't be used or finds no room is
	// left out, and nothing else. Problem.Field is a field of the object, or a setting of dsrd's configuration (sizes.…).
	// Nodes and pods come first, then services by name.
	Refused []services.Problem
}

// Err returns all that was refused as one error, nil if nothing was: for callers that need all or nothing.
func (r Result) Err() error {
	var errs []error
	for _, p := range r.Refused {
		errs = append(errs, p)
	}
	return errors.Join(errs...)
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
	n, err := d.reconcile(tables.Compile(state))
	if err != nil {
		return Result{Changed: n}, fmt.Errorf("apply: %w", err)
	}
	return Result{n, d.desired.Refused()}, nil
}

// Update makes the tables hold one service's new frontends and backends, which are all that t has; where it has none
// the service goes. service is namespace/name. It costs what changes, however many services there are: of 10,000 with 10 backends each,
// some tens of microseconds, where Apply takes about a tenth of a second (BenchmarkUpdateOne, BenchmarkApplyOne). It returns
// ErrNotApplied when there was no Apply before. Like Apply it leaves out what can't be programmed; others that are left out are
// not tried again.
func (d *DataPath) Update(service string, t *services.Tables) (Result, error) {
	if d.desired == nil {
		return Result{}, fmt.Errorf("update service %s: %w", service, ErrNotApplied)
	}
	if service == "" {
		return Result{}, errors.New("update service: must be named")
	}
	if t == nil {
		t = &services.Tables{}
	}
	n := 0
	if d.mirror == nil {
		var err error
		if n, err = d.reconcile(d.desired); err != nil {
			return Result{Changed: n}, fmt.Errorf("update service %s: %w", service, err)
		}
	}
	made, err := d.execute(d.mirror.PlanService(d.desired, service, t, d.time().now()))
	if err != nil {
		return Result{Changed: n + made}, fmt.Errorf("update service %s: %w", service, err)
	}
	return Result{n + made, d.desired.Refused()}, nil
}

// reconcile makes the maps hold all of the desired state, and keeps it as the one in force.
func (d *DataPath) reconcile(desired *tables.Desired) (int, error) {
	if d.mirror == nil {
		m, err := d.restoreMirror()
		if err != nil {
			return 0, err
		}
		d.mirror = m
	}
	n, err := d.execute(d.mirror.Plan(desired, d.time().now()))
	if err != nil {
		return n, err
	}
	d.desired = desired
	return n, nil
}

// execute makes the changes of a plan. If one fails, the mirror no longer matches the maps and is discarded.
func (d *DataPath) execute(plan *tables.Plan) (int, error) {
	writers, changes := d.writers(), plan.Changes
	made := 0
	for len(changes) > 0 {
		run := firstRun(changes)
		if err := d.make(run, writers); err != nil {
			d.mirror = nil
			return made, fmt.Errorf("%s and %d more: %w", run[0], len(run)-1, err)
		}
		if !run[0].Wait {
			made += len(run)
		}
		changes = changes[len(run):]
	}
	plan.Done(d.time().now())
	return made, nil
}

// firstRun are the changes that one batch can make.
func firstRun(changes []tables.Change) []tables.Change {
	n := 1
	for n < len(changes) && changes[n].Map == changes[0].Map && changes[n].Delete == changes[0].Delete {
		n++
	}
	return changes[:n]
}

func (d *DataPath) make(run []tables.Change, writers map[string]writer) error {
	switch {
	case run[0].Wait:
		d.time().sleep(tables.QuarantineTime)
		return nil
	case run[0].Delete:
		return writers[run[0].Map].delete(run)
	}
	return writers[run[0].Map].put(run)
}

func (d *DataPath) time() clock {
	if d.clock == nil {
		return systemClock{}
	}
	return d.clock
}

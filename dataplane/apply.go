package dataplane

import (
	"errors"
	"fmt"
	"time"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// ErrNotApplied says that Update was called where Apply has to come first.
var ErrNotApplied = errors.New("the whole state has to be applied first")

// rests is for how long what was freed is not used again: longer than any packet is on its way through a program.
const rests = time.Second

// clock tells the time and lets it pass. Tests have their own.
type clock interface {
	now() time.Time
	sleep(time.Duration)
}

type systemClock struct{}

func (systemClock) now() time.Time        { return time.Now() }
func (systemClock) sleep(d time.Duration) { time.Sleep(d) }

// wish is what the maps are to hold, as far as the last calls have said.
type wish struct {
	place *place
	forms map[string]*form // by service; "" has the backends that no frontend has
}

// Apply makes the tables hold state. Only what differs is written, in an order in which no packet meets a half-made state.
// It returns how many entries changed; a Maglev table counts as one. Flows of backends that stay are not touched. The first
// call reads back what an earlier process has left, so that numbers, and flows with them, go on. After an error the next
// call reads all back. One process at a time may change a node's tables.
func (d *DataPath) Apply(state State) (int, error) {
	p, err := newPlace(state)
	if err != nil {
		return 0, fmt.Errorf("apply: %w", err)
	}
	tables := state.Tables
	if tables == nil {
		tables = &services.Tables{}
	}
	forms, err := compileAll(p, tables)
	if err != nil {
		return 0, fmt.Errorf("apply: %w", err)
	}
	n, err := d.fulfil(wish{p, forms})
	if err != nil {
		return n, fmt.Errorf("apply: %w", err)
	}
	return n, nil
}

// Update makes the tables hold one service's new frontends and backends, which are all that tables has; where it has none
// the service goes. service is namespace/name. It costs what changes, however many services there are. It returns how
// many entries changed, or ErrNotApplied when there was no Apply before.
func (d *DataPath) Update(service string, tables *services.Tables) (int, error) {
	if d.wish == nil {
		return 0, fmt.Errorf("update service %s: %w", service, ErrNotApplied)
	}
	if service == "" {
		return 0, errors.New("update service: must be named")
	}
	if tables == nil {
		tables = &services.Tables{}
	}
	f, err := compileOne(d.wish.place, service, tables)
	if err != nil {
		return 0, fmt.Errorf("update service %s: %w", service, err)
	}
	n, err := d.change(service, f)
	if err != nil {
		return n, fmt.Errorf("update service %s: %w", service, err)
	}
	return n, nil
}

// change carries out an Update. The wish changes only when it succeeds.
func (d *DataPath) change(service string, f *form) (int, error) {
	n := 0
	if d.book == nil {
		var err error
		if n, err = d.fulfil(*d.wish); err != nil {
			return n, err
		}
	}
	if err := d.book.checkOwners(service, f); err != nil {
		return n, err
	}
	changed := map[string]*form{service: f}
	if rest := d.wish.forms[""]; rest != nil {
		if less := rest.without(f.backends); len(less.backends) < len(rest.backends) {
			changed[""] = less // now it is known whose they are
		}
	}
	d.rested()
	plan := &planner{book: d.book}
	for _, name := range []string{service, ""} {
		if form, ok := changed[name]; !ok {
			continue
		} else if form.isEmpty() {
			plan.remove(name)
		} else if err := plan.set(name, form); err != nil {
			d.book = nil
			return n, err
		}
	}
	plan.flush()
	made, err := d.carryOut(plan.changes)
	if err != nil {
		return n + made, err
	}
	for name, form := range changed {
		if d.wish.forms[name] = form; form.isEmpty() {
			delete(d.wish.forms, name)
		}
	}
	return n + made, nil
}

// fulfil makes the maps hold all of a wish, which is then the one.
func (d *DataPath) fulfil(w wish) (int, error) {
	if d.book == nil {
		b, err := d.readBook()
		if err != nil {
			return 0, err
		}
		d.book = b
	}
	d.rested()
	changes, err := planAll(d.book, w.place, w.forms)
	if err != nil {
		d.book = nil // planning has changed it
		return 0, err
	}
	n, err := d.carryOut(changes)
	if err != nil {
		return n, err
	}
	d.wish = &w
	return n, nil
}

// rested frees what has rested for long enough.
func (d *DataPath) rested() {
	for _, s := range d.book.spaces() {
		s.wake(d.time().now().Add(-rests))
	}
}

// carryOut makes the changes. If one fails the book no longer tells the truth, and is given up.
func (d *DataPath) carryOut(changes []change) (int, error) {
	writers := d.writers()
	made := 0
	for len(changes) > 0 {
		run := firstRun(changes)
		if err := d.make(run, writers); err != nil {
			d.book = nil
			return made, fmt.Errorf("%s and %d more: %w", run[0], len(run)-1, err)
		}
		if !run[0].wait {
			made += len(run)
		}
		changes = changes[len(run):]
	}
	for _, s := range d.book.spaces() {
		s.settle(d.time().now())
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
		d.time().sleep(rests)
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
func (b *book) checkOwners(service string, f *form) error {
	var errs []error
	for i := range f.frontends {
		key := f.frontends[i].key
		if owner, taken := b.owners[key]; taken && owner != service {
			errs = append(errs, fmt.Errorf("frontend %s is that of service %s", keyText(key), owner))
		}
	}
	return errors.Join(errs...)
}

// without is a form of nothing but backends, less some.
func (f *form) without(backends []backendForm) *form {
	gone := make(map[identity]bool, len(backends))
	for i := range backends {
		gone[backends[i].identity] = true
	}
	less := &form{}
	for _, b := range f.backends {
		if !gone[b.identity] {
			less.backends = append(less.backends, b)
		}
	}
	return less
}

func (f *form) isEmpty() bool { return len(f.frontends) == 0 && len(f.backends) == 0 }

// keyText is ADDRESS:PORT/PROTOCOL.
func keyText(k datapathServiceKey) string {
	return addrPort(k.Address, k.Port).String() + "/" + protocolName(k.Protocol)
}

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
	book     *book
	changes  []change
	fresh    []change // what services' numbers start with
	rows     []change
	forget   []forgotten // before frontends refer to the numbers
	drafts   drafts
	left     []leaving
	replaced []func() // what else is released
}

// leaving is what a service held before.
type leaving struct {
	service string
	holding *holding
}

// planAll makes the book hold exactly these forms, and what the place says.
func planAll(b *book, p *place, forms map[string]*form) ([]change, error) {
	plan := &planner{book: b}
	if err := plan.settle(p); err != nil {
		return nil, err
	}
	for _, name := range sortedNames(b.services) {
		if _, ok := forms[name]; !ok {
			plan.remove(name)
		}
	}
	plan.drafts = draftAll(b, forms)
	for _, name := range sortedNames(forms) {
		if err := plan.set(name, forms[name]); err != nil {
			return nil, err
		}
	}
	plan.replaced = append(plan.replaced, b.forsake)
	plan.flush()
	return plan.changes, nil
}

// planOne makes the book hold this form of one service, or with nil none.
func planOne(b *book, name string, f *form) ([]change, error) {
	plan := &planner{book: b}
	if f == nil {
		plan.remove(name)
	} else if err := plan.set(name, f); err != nil {
		return nil, err
	}
	plan.flush()
	return plan.changes, nil
}

// settle makes the book hold what a place says.
func (p *planner) settle(to *place) error {
	was := p.book.place
	if was == nil {
		was = &place{}
	}
	p.book.place = to
	p.replaced = append(p.replaced, p.book.pods.forsake, p.book.nodes.forsake, p.book.cluster.forsake)
	if err := replace(p, p.book.pods, was.pods, to.pods); err != nil {
		return err
	}
	if err := replace(p, p.book.nodes, was.nodes, to.nodes); err != nil {
		return err
	}
	return replace(p, p.book.cluster, was.cluster, to.cluster)
}

func replace[K, V comparable](p *planner, s *shelf[K, V], was, to map[K]V) error {
	for key, value := range to {
		if err := s.hold(key, value); err != nil {
			return err
		}
	}
	p.replaced = append(p.replaced, func() {
		for key := range was {
			s.release(key)
		}
	})
	return nil
}

// set makes the book hold a service's new form; the old one is released by the next flush.
func (p *planner) set(name string, f *form) error {
	old := p.book.services[name]
	if old != nil && old.form.equal(f) {
		return nil
	}
	h, err := p.book.hold(p, name, f)
	if err != nil {
		return fmt.Errorf("service %s: %w", name, err)
	}
	p.book.services[name] = h
	if old != nil {
		p.left = append(p.left, leaving{name, old})
	}
	return nil
}

func (p *planner) remove(name string) {
	if old := p.book.services[name]; old != nil {
		delete(p.book.services, name)
		p.left = append(p.left, leaving{name, old})
	}
}

// flush puts what is held, then releases and deletes what is not.
func (p *planner) flush() {
	b := p.book
	p.add(b.pods.puts(), b.nodes.puts(), b.cluster.puts())
	if serial, ok := b.backends.reserve(); ok {
		p.add([]change{putReserved(serial)})
	}
	p.add(b.ports.names.puts(), p.fresh, forget(p.forget), b.local.puts(), b.backends.puts(), p.rows, b.ranges.puts(), b.frontends.puts())
	p.fresh, p.rows, p.forget = nil, nil, nil
	var forgets []forgotten
	for _, l := range p.left {
		b.release(l.service, l.holding)
		forgets = append(forgets, lost(l.holding, b.services[l.service])...)
	}
	for _, release := range p.replaced {
		release()
	}
	p.left, p.replaced = nil, nil
	p.add(b.frontends.deletes(), b.ranges.deletes(), forget(forgets))
	b.tables.frees()
	p.add(b.backends.frees(), b.local.deletes(), b.ports.deletes(), b.cluster.deletes(), b.nodes.deletes(), b.pods.deletes())
}

func (p *planner) add(groups ...[]change) {
	for _, group := range groups {
		p.changes = append(p.changes, group...)
	}
}

// relieve makes room in a space in which there is none: what services have left is taken out, and all that rests is free
// after a wait. It reports whether there may be room now.
func (p *planner) relieve(s *space) bool {
	replaced := p.replaced
	p.replaced = nil
	p.flush()
	p.replaced = replaced
	if !s.waits() {
		return false
	}
	p.add([]change{{wait: true}})
	for _, s := range p.book.spaces() {
		s.wakeAll()
	}
	return true
}

package dataplane

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// drafts are Maglev tables that are computed before they are needed: for each slot an index into the recipe's shares. What
// they hold depends on nothing else, so all CPUs can work at them.
type drafts map[draftKey][]uint32

type draftKey struct {
	form *form
	set  int
}

// slots is a draft, which is then forgotten, or made now.
func (d drafts) slots(f *form, set int) ([]uint32, error) {
	key := draftKey{f, set}
	if slots, ok := d[key]; ok {
		delete(d, key)
		return slots, nil
	}
	return draft(f, set)
}

// draft computes a Maglev table. Its backends bear names that are the same on all nodes.
func draft(f *form, set int) ([]uint32, error) {
	r := f.sets[set]
	names := make([]services.WeightedName, len(r.shares))
	for i, s := range r.shares {
		key := f.backends[s.backend].datapathServiceKey
		b := services.Backend{Address: key.Address.address(), Port: port16(key.Port), Protocol: services.Protocol(key.Protocol)}
		names[i] = services.WeightedName{Name: b.Name(), Weight: s.weight}
	}
	slots, err := services.Maglev(names, r.size)
	if err != nil {
		return nil, fmt.Errorf("make table: %w", err)
	}
	return slots, nil
}

// draftAll computes the tables of forms that are not in the book as they are.
func draftAll(b *book, forms map[string]*form) drafts {
	work := make(chan draftKey)
	all := make(drafts)
	var mu sync.Mutex
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for key := range work {
				slots, err := draft(key.form, key.set)
				if err != nil {
					continue // who needs it will find the same
				}
				mu.Lock()
				all[key] = slots
				mu.Unlock()
			}
		})
	}
	for name, f := range forms {
		if old := b.services[name]; old != nil && old.form.equal(f) {
			continue
		}
		for set := range f.sets {
			work <- draftKey{f, set}
		}
	}
	close(work)
	group.Wait()
	return all
}

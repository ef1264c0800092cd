package dataplane

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/dsrlab/dsrlab/dataplane/maglev"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// maglevTables are Maglev tables that are computed before they are needed: for each slot an index into the spec's shares. They
// depend on nothing else, so all CPUs can compute them.
type maglevTables map[maglevKey][]uint32

type maglevKey struct {
	spec *serviceSpec
	set  int
}

// take removes and returns a table; one that was not computed before is computed now.
func (d maglevTables) take(spec *serviceSpec, set int) ([]uint32, error) {
	key := maglevKey{spec, set}
	if slots, ok := d[key]; ok {
		delete(d, key)
		return slots, nil
	}
	return computeTable(spec, set)
}

// computeTable computes a Maglev table from the backends' names, which are the same on all nodes.
func computeTable(spec *serviceSpec, set int) ([]uint32, error) {
	r := spec.sets[set]
	names := make([]maglev.Backend, len(r.shares))
	for i, s := range r.shares {
		key := spec.backends[s.backend].DatapathServiceKey
		b := services.Backend{Address: key.Address.Addr(), Port: port16(key.Port), Protocol: services.Protocol(key.Protocol)}
		names[i] = maglev.Backend{Name: b.Name(), Weight: s.weight}
	}
	slots, err := maglev.Table(names, r.size)
	if err != nil {
		return nil, fmt.Errorf("make table: %w", err)
	}
	return slots, nil
}

// computeTables computes the tables of all specs that differ from what is installed.
func computeTables(m *mirror, specs map[string]*serviceSpec) maglevTables {
	work := make(chan maglevKey)
	all := make(maglevTables)
	var mu sync.Mutex
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for key := range work {
				slots, err := computeTable(key.spec, key.set)
				if err != nil {
					continue // take returns the error
				}
				mu.Lock()
				all[key] = slots
				mu.Unlock()
			}
		})
	}
	for name, spec := range specs {
		if old := m.services[name]; old != nil && old.spec.equal(spec) {
			continue
		}
		for set := range spec.sets {
			work <- maglevKey{spec, set}
		}
	}
	close(work)
	group.Wait()
	return all
}

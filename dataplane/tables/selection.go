package tables

import (
	"runtime"
	"sync"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/rendezvous"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// selections are sets of backends that are computed before they are needed. They depend on nothing else, so all CPUs can compute
// them.
type selections map[selectionKey]selection

type selectionKey struct {
	spec *serviceSpec
	set  int
}

// selection is how flows are shared out among the backends of a set.
type selection struct {
	members rendezvous.Set // by their index in the set's shares
	table   []uint32       // likewise, by slot; nil for a list
}

// take removes and returns a selection; one that was not computed before is computed now.
func (s selections) take(spec *serviceSpec, set int) selection {
	key := selectionKey{spec, set}
	if one, ok := s[key]; ok {
		delete(s, key)
		return one
	}
	return computeSelection(spec, set)
}

// computeSelection computes a selection from the backends' names, which are the same on all nodes.
func computeSelection(spec *serviceSpec, set int) selection {
	r := spec.sets[set]
	names := make([]rendezvous.Backend, len(r.shares))
	for i, s := range r.shares {
		key := spec.backends[s.backend].DatapathServiceKey
		b := services.Backend{Address: key.Address.Addr(), Port: bpf.Port16(key.Port), Protocol: services.Protocol(key.Protocol)}
		names[i] = rendezvous.Backend{Name: b.Name(), Weight: s.weight}
	}
	one := selection{members: rendezvous.New(names)}
	if !r.isList() {
		one.table = one.members.Table()
	}
	return one
}

// rows are a set's rows, given the numbers of its backends, by their index in the set's shares. What is left of the last row is zero,
// which is no backend.
func (s selection) rows(numbers []uint32) []bpf.DatapathRow {
	if s.table == nil {
		rows := make([]bpf.DatapathRow, bpf.RowsOf(uint32(len(s.members))))
		for i, m := range s.members {
			words := rows[i/bpf.RowBackends].Word[i%bpf.RowBackends*2:]
			words[0], words[1] = numbers[m.Index], m.Seed
		}
		return rows
	}
	rows := make([]bpf.DatapathRow, bpf.RowsOf(rendezvous.Slots))
	for slot, index := range s.table {
		rows[slot/bpf.RowSlots].Word[slot%bpf.RowSlots] = numbers[index]
	}
	return rows
}

// computeSelections computes those of all specs that differ from what is installed.
func computeSelections(m *Mirror, specs map[string]*serviceSpec) selections {
	work := make(chan selectionKey)
	all := make(selections)
	var mu sync.Mutex
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for key := range work {
				one := computeSelection(key.spec, key.set)
				mu.Lock()
				all[key] = one
				mu.Unlock()
			}
		})
	}
	for name, spec := range specs {
		if old := m.services[name]; old != nil && old.spec.equal(spec) {
			continue
		}
		for set := range spec.sets {
			work <- selectionKey{spec, set}
		}
	}
	close(work)
	group.Wait()
	return all
}

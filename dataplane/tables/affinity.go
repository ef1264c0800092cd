package tables

import "github.com/dsrlab/dsrlab/dataplane/bpf"

// AffinityID selects clients' affinities: those of a service's number to one backend, or to all (0). A backend that no service
// has any more needs none: its serial ends the affinity.
type AffinityID struct{ Service, Backend uint32 }

// endAffinities is the change that ends these affinities, if there are any.
func endAffinities(clients []AffinityID) []Change {
	if len(clients) == 0 {
		return nil
	}
	return []Change{{Map: bpf.DatapathMapAffinities, Delete: true, Key: clients}}
}

// hasAffinity reports whether a port of the service has session affinity.
func (spec *serviceSpec) hasAffinity(port int) bool {
	for i := range spec.frontends {
		if spec.frontends[i].port == port && spec.frontends[i].value.Affinity > 0 {
			return true
		}
	}
	return false
}

// lostAffinities are the affinities to backends that a service no longer selects but another service still has. Call it after
// the service's previous state has been released.
func lostAffinities(before, now *installed) []AffinityID {
	if now == nil {
		return nil
	}
	selects := make(map[*backendEntry]bool)
	for e := range now.selected() {
		selects[e] = true
	}
	var clients []AffinityID
	for i, port := range now.ports {
		if !now.spec.hasAffinity(i) {
			continue
		}
		for e := range before.selected() {
			if !selects[e] && e.refs > 0 {
				clients = append(clients, AffinityID{port.number, e.number})
			}
		}
	}
	return clients
}

// selected are the backends that the service's sets have, some perhaps twice.
func (inst *installed) selected() func(yield func(*backendEntry) bool) {
	return func(yield func(*backendEntry) bool) {
		for _, set := range inst.spec.sets {
			for _, s := range set.shares {
				if !yield(inst.backends[s.backend]) {
					return
				}
			}
		}
	}
}

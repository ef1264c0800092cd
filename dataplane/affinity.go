package dataplane

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// forgotten are clients whose affinity ends: those of a service's number to one backend, or to all (0). Backends that nobody
// has any more are not among them: their serial ends it.
type forgotten struct{ service, backend uint32 }

// forget is the change that ends affinities, if there are any to end.
func forget(clients []forgotten) []change {
	if len(clients) == 0 {
		return nil
	}
	return []change{{mapName: datapathMapAffinities, delete: true, key: clients}}
}

// hasAffinity says whether a port of the form has session affinity.
func (f *form) hasAffinity(port int) bool {
	for i := range f.frontends {
		if f.frontends[i].port == port && f.frontends[i].value.Affinity > 0 {
			return true
		}
	}
	return false
}

// lost are the affinities to backends that a service no longer selects, but which another service still has. It is to be
// called when what the service had before was released.
func lost(before, now *holding) []forgotten {
	if now == nil {
		return nil
	}
	selects := make(map[*backendEntry]bool)
	for e := range now.selected() {
		selects[e] = true
	}
	var clients []forgotten
	for i, port := range now.ports {
		if !now.form.hasAffinity(i) {
			continue
		}
		for e := range before.selected() {
			if !selects[e] && e.holders > 0 {
				clients = append(clients, forgotten{port.number, e.number})
			}
		}
	}
	return clients
}

// selected are the backends that the service's tables have, some perhaps twice.
func (h *holding) selected() func(yield func(*backendEntry) bool) {
	return func(yield func(*backendEntry) bool) {
		for _, set := range h.form.sets {
			for _, s := range set.shares {
				if !yield(h.backends[s.backend]) {
					return
				}
			}
		}
	}
}

// forgetClients deletes affinities from the map.
func forgetClients(m *ebpf.Map, clients []forgotten) error {
	gone := make(map[forgotten]bool, len(clients))
	for _, c := range clients {
		gone[c] = true
	}
	var keys []datapathAffinityKey
	err := readEntries(m, func(key datapathAffinityKey, value datapathAffinity) {
		if gone[forgotten{key.Service, 0}] || gone[forgotten{key.Service, value.Backend}] {
			keys = append(keys, key)
		}
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := deleteEntry(m, key); err != nil {
			return fmt.Errorf("end affinity: %w", err)
		}
	}
	return nil
}

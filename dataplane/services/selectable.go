package services

import (
	"slices"

	"github.com/dsrlab/dsrlab/dataplane/maglev"
)

// Selectable are the backends of f that a request from outside the cluster, entering at the named node, can go to: all of them, or with
// LocalOnly those on that node. Hints do not concern it: LB nodes of several zones have to select the same backend, as a flow can come
// to another one of them (kube-proxy has no such care). The result is ascending and must not be changed.
func (t *Tables) Selectable(f *Frontend, node string) []int {
	if !f.LocalOnly {
		return f.Backends
	}
	return t.on(node, f.Backends)
}

// SelectableInside are the backends of f that a request of a pod or a process on the named node can go to. A ClusterIP's
// internalTrafficPolicy concerns it, and hints do. Externals' externalTrafficPolicy does not: such a request is treated as if it had
// gone out of the cluster and come in where a backend is (as kube-proxy does). The result is ascending and must not be
// changed.
func (t *Tables) SelectableInside(f *Frontend, node string) []int {
	if f.Kind == KindClusterIP && f.LocalOnly {
		return t.on(node, f.Backends)
	}
	if f.Inside != nil {
		return t.preferred(f, node, f.Inside)
	}
	return t.preferred(f, node, f.Backends)
}

// Ready are the backends of f on the named node that are ready, whatever the policy: what a health check counts (kube-proxy:
// LocalReadyEndpoints). The result is ascending.
func (t *Tables) Ready(f *Frontend, node string) []int {
	var ready []int
	for _, i := range t.on(node, f.Backends) {
		if _, terminates := slices.BinarySearch(f.Terminating, i); !terminates {
			ready = append(ready, i)
		}
	}
	return ready
}

// on are those of some backends that are on a node.
func (t *Tables) on(node string, backends []int) []int {
	var local []int
	for _, i := range backends {
		if t.Backends[i].Node == node {
			local = append(local, i)
		}
	}
	return local
}

// Refusal is what becomes of a request that no backend can take.
type Refusal string

const (
	// RefusalNone: there are backends.
	RefusalNone Refusal = ""
	// RefusalReject: there is no endpoint anywhere, and the client is told (TCP reset, ICMP port unreachable).
	RefusalReject Refusal = "reject"
	// RefusalDrop: there are endpoints, but none on this node, which is all that the policy lets the request reach. The client
	// is not told: another node may answer it, as soon as the network knows.
	RefusalDrop Refusal = "drop"
)

// Refusal is what the named node does with requests to f from outside the cluster (as kube-proxy does).
func (t *Tables) Refusal(f *Frontend, node string) Refusal {
	return refusal(f, t.Selectable(f, node))
}

// RefusalInside is what the named node does with requests to f of its pods and processes.
func (t *Tables) RefusalInside(f *Frontend, node string) Refusal {
	return refusal(f, t.SelectableInside(f, node))
}

func refusal(f *Frontend, selectable []int) Refusal {
	switch {
	case len(selectable) > 0:
		return RefusalNone
	case len(f.Backends) == 0:
		return RefusalReject
	}
	return RefusalDrop
}

// TableSizeFor is how many slots a frontend of some backends has: the least of 251, 1021, 4093 and 16381 that is at least 100
// times their number, so that shares differ by 1 % at most (the Maglev paper, section 3.4, has M much larger than N); no more
// than largest, and largest where none of them will do. All nodes must use the same size, so where each has backends of its
// own it is the number of all that counts.
func TableSizeFor(backends int, largest uint32) uint32 {
	for _, size := range []uint32{251, 1021, 4093, 16381} {
		if size < largest && uint64(size) >= 100*uint64(backends) {
			return size
		}
	}
	return largest
}

// Slots is the Maglev table of some backends, given and returned as indices into t.Backends: size slots (Frontend.TableSize),
// or none where there is no backend or size is no prime that a table can have.
func (t *Tables) Slots(backends []int, size uint32) []uint32 {
	names := make([]maglev.Backend, len(backends))
	for i, index := range backends {
		b := &t.Backends[index]
		names[i] = maglev.Backend{Name: b.Name(), Weight: b.Weight}
	}
	slots, err := maglev.Table(names, size)
	if err != nil {
		return nil
	}
	for i, slot := range slots {
		slots[i] = uint32(backends[slot])
	}
	return slots
}

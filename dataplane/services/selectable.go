package services

import "slices"

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

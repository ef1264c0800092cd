package services

import (
	"net/netip"
	"time"
)

// Tables is what the data paths of all nodes need to know of the services. It is the same on every node; what differs
// by node (which backends are local) follows from the node's name.
type Tables struct {
	// Frontends are ordered by address, port and protocol, each of which triples there is once.
	Frontends []Frontend `json:"frontends"`
	// Backends are ordered by address, port and protocol, each once even when several services share them.
	Backends []Backend `json:"backends"`
	// TableSize is the number of slots of a Maglev table, a prime.
	TableSize uint32 `json:"tableSize"`
}

// Frontend is an address, port and protocol that clients talk to.
type Frontend struct {
	Address  netip.Addr `json:"address"`
	Port     uint16     `json:"port"`
	Protocol Protocol   `json:"protocol"`
	Kind     Kind       `json:"kind"`
	// Service is namespace/name.
	Service string `json:"service"`
	// PortName is the name of the service's port; empty where a service has a single port without a name.
	PortName string `json:"portName,omitempty"`
	// Mode is snat or dsr, hybrid resolved. A ClusterIP, which only pods talk to, is always snat.
	Mode Mode `json:"mode"`
	// LocalOnly: only backends on the node where a request enters (externalTrafficPolicy, for a ClusterIP
	// internalTrafficPolicy, is Local).
	LocalOnly bool `json:"localOnly,omitempty"`
	// Node is the node that a NodePort's address belongs to.
	Node string `json:"node,omitempty"`
	// SourceRanges are the only clients that may use a LoadBalancer, of both address families; none means all may.
	SourceRanges []netip.Prefix `json:"sourceRanges,omitempty"`
	// Affinity is how long after its last connection a client keeps its backend (sessionAffinity: ClientIP); 0: no
	// affinity.
	Affinity time.Duration `json:"affinity,omitempty"`
	// HealthCheckNodePort is where nodes tell whether they have local backends; 0: nowhere.
	HealthCheckNodePort uint16 `json:"healthCheckNodePort,omitempty"`
	// Backends are indices into Tables.Backends, ascending: those that may get new flows. With LocalOnly it is the
	// union of what the nodes choose, each among its own; Tables.Selectable gives one node's part.
	Backends []int `json:"backends"`
}

// AddrPort is where the frontend listens.
func (f *Frontend) AddrPort() netip.AddrPort { return netip.AddrPortFrom(f.Address, f.Port) }

// String is ADDRESS:PORT/PROTOCOL.
func (f *Frontend) String() string { return f.AddrPort().String() + "/" + f.Protocol.String() }

// Backend is a pod's address, port and protocol.
type Backend struct {
	Address  netip.Addr `json:"address"`
	Port     uint16     `json:"port"`
	Protocol Protocol   `json:"protocol"`
	// Node is the name of the pod's node, NodeAddress where tunnels to it end.
	Node        string     `json:"node"`
	NodeAddress netip.Addr `json:"nodeAddress"`
	// Weight is the backend's share relative to the others; 1 where nothing else is said.
	Weight uint32 `json:"weight"`
	// Draining: no frontend gives it new flows (it is terminating or not ready), but it keeps those that it has.
	Draining bool `json:"draining,omitempty"`
}

// AddrPort is where the backend listens.
func (b *Backend) AddrPort() netip.AddrPort { return netip.AddrPortFrom(b.Address, b.Port) }

// Name is ADDRESS:PORT/PROTOCOL. Maglev hashes it, so it must be the same on every node.
func (b *Backend) Name() string { return b.AddrPort().String() + "/" + b.Protocol.String() }

// Selectable are the backends of f that a request entering at the named node can go to: all of them, or with LocalOnly
// those on that node. The result is ascending and must not be changed.
func (t *Tables) Selectable(f *Frontend, node string) []int {
	if !f.LocalOnly {
		return f.Backends
	}
	var local []int
	for _, i := range f.Backends {
		if t.Backends[i].Node == node {
			local = append(local, i)
		}
	}
	return local
}

// Slots is the Maglev table of some backends, given and returned as indices into t.Backends: TableSize slots, or none
// where there is no backend.
func (t *Tables) Slots(backends []int) []uint32 {
	names := make([]WeightedName, len(backends))
	for i, index := range backends {
		b := &t.Backends[index]
		names[i] = WeightedName{Name: b.Name(), Weight: b.Weight}
	}
	slots, err := Maglev(names, t.TableSize)
	if err != nil { // only for a TableSize that Build does not give
		return nil
	}
	for i, slot := range slots {
		slots[i] = uint32(backends[slot])
	}
	return slots
}

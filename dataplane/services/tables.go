package services

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Tables is what the data paths of all nodes need to know of the services. It is the same on every node; what differs
// by node (which backends are local) follows from the node's name.
type Tables struct {
	// Frontends are ordered by address, port and protocol, each of which triples there is once.
	Frontends []Frontend `json:"frontends"`
	// Backends are ordered by address, port and protocol, each once even when several services share them.
	Backends []Backend `json:"backends"`
	// Zones are those of nodes, by the node's name, where a frontend's Hints need them.
	Zones map[string]string `json:"zones,omitempty"`
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
	// Selection is how new flows find their backend.
	Selection Selection `json:"selection"`
	// LocalOnly: only backends on the node where a request enters (externalTrafficPolicy, for a ClusterIP
	// internalTrafficPolicy, is Local).
	LocalOnly bool `json:"localOnly,omitempty"`
	// Node is the node that a NodePort's address belongs to.
	Node string `json:"node,omitempty"`
	// SourceRanges are the only clients that may use it, of both address families; none means all may, as at every ClusterIP.
	SourceRanges []netip.Prefix `json:"sourceRanges,omitempty"`
	// Affinity is how long after its last connection a client keeps its backend (sessionAffinity: ClientIP); 0: no
	// affinity. After that it gets one by Selection: with consistent, on which LB nodes agree, the same one as before while there is the
	// same choice; with random, which ClusterIPs and NodePorts have by default, any.
	Affinity time.Duration `json:"affinity,omitempty"`
	// HealthCheckNodePort is where nodes tell whether they have local backends, for all frontends of the service alike; 0:
	// nowhere.
	HealthCheckNodePort uint16 `json:"healthCheckNodePort,omitempty"`
	// Backends are indices into Tables.Backends, ascending: those that may get new flows from outside the cluster. With
	// LocalOnly it is the union of what the nodes choose, each among its own; Tables.Selectable gives one node's part.
	Backends []int `json:"backends"`
	// Inside are those for clients inside the cluster, where they are others; nil: the same. Tables.SelectableInside tells.
	Inside []int `json:"inside,omitempty"`
	// Terminating are those of Backends that are not ready but still serve. They are the last resort (KEP-1669) and do not
	// count as healthy.
	Terminating []int `json:"terminating,omitempty"`
	// Hints say which of the backends policy Cluster prefers on a node; nil: all.
	Hints *Hints `json:"hints,omitempty"`
}

// AddrPort is where the frontend listens.
func (f *Frontend) AddrPort() netip.AddrPort { return netip.AddrPortFrom(f.Address, f.Port) }

// String is ADDRESS:PORT/PROTOCOL.
func (f *Frontend) String() string { return f.AddrPort().String() + "/" + f.Protocol.String() }

// Backend is the address, port and protocol of a pod, of a process of a node, or of a host outside of the cluster.
type Backend struct {
	Address  netip.Addr `json:"address"`
	Port     uint16     `json:"port"`
	Protocol Protocol   `json:"protocol"`
	// Node is the name of the pod's node, NodeAddress where tunnels to it end. A backend outside of the cluster has neither: requests to
	// it are translated to the node's address and routed, whatever the frontend's mode is.
	Node        string     `json:"node"`
	NodeAddress netip.Addr `json:"nodeAddress"`
	// Weight is the backend's share relative to the others; 1 where nothing else is said.
	Weight uint32 `json:"weight"`
	// Draining: no frontend gives it new flows (it is terminating or not ready), but it keeps those that it has.
	Draining bool `json:"draining,omitempty"`
}

// Outside reports whether the backend is outside of the cluster.
func (b *Backend) Outside() bool { return b.Node == "" }

// AddrPort is where the backend listens.
func (b *Backend) AddrPort() netip.AddrPort { return netip.AddrPortFrom(b.Address, b.Port) }

// Name is ADDRESS:PORT/PROTOCOL. Rendezvous hashing begins with it, so it must be the same on every node.
func (b *Backend) Name() string { return b.AddrPort().String() + "/" + b.Protocol.String() }

func (f *Frontend) key() frontendKey { return frontendKey{f.AddrPort(), f.Protocol} }

// compare orders by address, port and protocol.
func (f *Frontend) compare(other *Frontend) int {
	return cmp.Or(f.AddrPort().Compare(other.AddrPort()), cmp.Compare(f.Protocol, other.Protocol))
}

func (f *Frontend) equal(other *Frontend) bool {
	return f.Address == other.Address && f.Port == other.Port && f.Protocol == other.Protocol && f.Kind == other.Kind &&
		f.Service == other.Service && f.PortName == other.PortName && f.Node == other.Node &&
		f.Mode == other.Mode && f.Selection == other.Selection &&
		f.LocalOnly == other.LocalOnly && f.Affinity == other.Affinity && f.HealthCheckNodePort == other.HealthCheckNodePort &&
		slices.Equal(f.SourceRanges, other.SourceRanges) && slices.Equal(f.Backends, other.Backends) &&
		slices.Equal(f.Inside, other.Inside) && slices.Equal(f.Terminating, other.Terminating) &&
		f.Hints.equal(other.Hints)
}

func (t *Tables) equal(other *Tables) bool {
	return maps.Equal(t.Zones, other.Zones) && slices.Equal(t.Backends, other.Backends) &&
		slices.EqualFunc(t.Frontends, other.Frontends, func(f, g Frontend) bool { return f.equal(&g) })
}

package ui

import (
	"net/netip"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/topologies"
)

const (
	// maxFrontends and maxBackends of each are sent to the page: far more than a topology has, and some 100 kB.
	maxFrontends, maxBackends = 100, 8
)

// Tables are the load balancer's tables as one LB node has them.
type Tables struct {
	Node string `json:"node"`
	// Total is how many frontends there are: Frontends holds the first ones only.
	Total     int        `json:"total"`
	Frontends []Frontend `json:"frontends"`
}

// Frontend is a frontend with its backends.
type Frontend struct {
	Address  netip.AddrPort `json:"address"`
	Protocol string         `json:"protocol"`
	Service  string         `json:"service"` // namespace/name:port/PROTO
	Kind     string         `json:"kind"`
	Mode     string         `json:"mode"`
	Local    bool           `json:"local,omitempty"` // traffic policy Local
	// Connections is how many flows the node has begun for the service's port, by any of its frontends.
	Connections uint64    `json:"connections"`
	Backends    []Backend `json:"backends"`
	// More is how many backends are left out.
	More int `json:"more,omitempty"`
}

// Backend is a backend of a frontend.
type Backend struct {
	Address netip.AddrPort `json:"address"`
	Pod     string         `json:"pod,omitempty"`
	Node    string         `json:"node,omitempty"`
	State   string         `json:"state"` // active, draining, or gone
	Share   float64        `json:"share"` // of new flows, from 0 to 1
}

// tablesOf names what a node's tables hold.
func tablesOf(node string, list []dataplane.Listed, counters []dataplane.ServiceCounter, plan *topologies.Plan) Tables {
	begun := make(map[uint32]uint64, len(counters))
	for _, c := range counters {
		begun[c.Number] = c.Flows
	}
	t := Tables{Node: node, Total: len(list), Frontends: []Frontend{}}
	for _, f := range list[:min(len(list), maxFrontends)] {
		shown := Frontend{
			Address: f.Address, Protocol: f.Protocol, Service: f.Service, Kind: f.Kind, Mode: f.Mode, Local: f.Local,
			Connections: begun[f.Number], Backends: []Backend{}, More: max(0, len(f.Backends)-maxBackends),
		}
		for _, b := range f.Backends[:min(len(f.Backends), maxBackends)] {
			shown.Backends = append(shown.Backends, backendOf(b, plan))
		}
		t.Frontends = append(t.Frontends, shown)
	}
	return t
}

func backendOf(b dataplane.ListedBackend, plan *topologies.Plan) Backend {
	shown := Backend{Address: b.Address, State: b.State, Share: b.Share}
	if pod := plan.PodAt(b.Address.Addr()); pod != nil {
		shown.Pod, shown.Node = pod.Name, pod.Node
	} else if n := plan.NodeAt(b.Node); n != nil {
		shown.Node = n.Name
	}
	return shown
}

package services

import (
	"maps"
	"slices"
)

// Hints say which of a frontend's backends are meant for clients of a node or a zone. The controller that makes EndpointSlices writes
// them for services with a trafficDistribution (KEP-4444, KEP-3015) or topology-aware routing (KEP-2433). Backends are indices into
// Tables.Backends, ascending; they are ready.
type Hints struct {
	// Nodes are the backends for each node, by its name; nil where a ready endpoint has no hint for nodes.
	Nodes map[string][]int `json:"nodes,omitempty"`
	// Zones are those for each zone; nil where a ready endpoint has no hint for zones.
	Zones map[string][]int `json:"zones,omitempty"`
}

// hintsOf reads the hints of endpoints. As in kube-proxy (pkg/proxy/topology.go) those for nodes, or for zones, count only if all ready
// endpoints have one: otherwise the endpoints without one would get no traffic. It returns nil where none counts.
func hintsOf(endpoints []endpoint) *Hints {
	h := &Hints{Nodes: map[string][]int{}, Zones: map[string][]int{}}
	for _, e := range endpoints {
		if !e.ready {
			continue
		}
		if e.hints == nil {
			return nil
		}
		if len(e.hints.ForNodes) == 0 {
			h.Nodes = nil
		}
		if len(e.hints.ForZones) == 0 {
			h.Zones = nil
		}
		if h.Nodes == nil && h.Zones == nil {
			return nil
		}
		for _, node := range e.hints.ForNodes {
			prefer(h.Nodes, node.Name, e.backend)
		}
		for _, zone := range e.hints.ForZones {
			prefer(h.Zones, zone.Name, e.backend)
		}
	}
	if len(h.Nodes) == 0 && len(h.Zones) == 0 {
		return nil
	}
	return h
}

// prefer adds a backend, once. A nil map is left alone.
func prefer(all map[string][]int, name string, backend int) {
	if latest := len(all[name]) - 1; all != nil && (latest < 0 || all[name][latest] != backend) {
		all[name] = append(all[name], backend)
	}
}

// preferred are those of backends, the ones that policy Cluster has for f, that the named node prefers: the ones meant for it, else the
// ones meant for its zone, else all.
func (t *Tables) preferred(f *Frontend, node string, backends []int) []int {
	if f.Hints == nil {
		return backends
	}
	if meant := f.Hints.Nodes[node]; len(meant) > 0 {
		return meant
	}
	if meant := f.Hints.Zones[t.Zones[node]]; len(meant) > 0 {
		return meant
	}
	return backends
}

// numbered are the hints with other numbers for backends.
func (h *Hints) numbered(number func([]int) []int) *Hints {
	if h == nil {
		return nil
	}
	all := func(in map[string][]int) map[string][]int {
		if in == nil {
			return nil
		}
		out := make(map[string][]int, len(in))
		for name, backends := range in {
			out[name] = number(backends)
		}
		return out
	}
	return &Hints{Nodes: all(h.Nodes), Zones: all(h.Zones)}
}

func (h *Hints) equal(other *Hints) bool {
	if h == nil || other == nil {
		return h == other
	}
	return maps.EqualFunc(h.Nodes, other.Nodes, slices.Equal) && maps.EqualFunc(h.Zones, other.Zones, slices.Equal)
}

// keepZones gives the tables the zones of nodes if a frontend needs them.
func (t *Tables) keepZones(nodes *nodeIndex) {
	needed := slices.ContainsFunc(t.Frontends, func(f Frontend) bool { return f.Hints != nil && f.Hints.Zones != nil })
	if needed && len(nodes.zones) > 0 {
		t.Zones = nodes.zones
	}
}

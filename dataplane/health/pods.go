package health

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// wanted is what a service wants answered.
type wanted struct {
	port uint16
	pods pods
}

// pods are a service's ready pods on the node, by the families of its frontends; nil where it has none of a family. A pod of
// both families is in both. The service can have several ports, so it is addresses that count (kube-proxy:
// getLocalReadyEndpointIPs).
type pods struct{ v4, v6 map[netip.Addr]bool }

// of is the number of pods that a request to an address of one family is told.
func (p *pods) of(ipv6 bool) int {
	if p.v4 == nil || ipv6 && p.v6 != nil {
		return len(p.v6)
	}
	return len(p.v4)
}

// wantedOf finds the services with a healthCheckNodePort, by name, and counts their pods on a node.
func wantedOf(tables *services.Tables, node string) map[string]*wanted {
	all := map[string]*wanted{}
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		if f.HealthCheckNodePort == 0 {
			continue
		}
		w := all[f.Service]
		if w == nil {
			w = &wanted{port: f.HealthCheckNodePort}
			all[f.Service] = w
		}
		of := &w.pods.v4
		if f.Address.Is6() {
			of = &w.pods.v6
		}
		if *of == nil {
			*of = map[netip.Addr]bool{}
		}
		for _, b := range tables.Ready(f, node) {
			(*of)[tables.Backends[b].Address] = true
		}
	}
	return all
}

func sortedNames(all map[string]*wanted) []string { return slices.Sorted(maps.Keys(all)) }

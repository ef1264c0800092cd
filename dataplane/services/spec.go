package services

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

type objectKey struct{ namespace, name string }

type frontendKey struct {
	address  netip.AddrPort
	protocol Protocol
}

// backendKey identifies a backend.
type backendKey struct {
	address  netip.AddrPort
	protocol Protocol
}

func (k backendKey) compare(other backendKey) int {
	return cmp.Or(k.address.Compare(other.address), cmp.Compare(k.protocol, other.protocol))
}

// spec is what one service asks for. It follows from the service, its slices and the nodes alone; what of it the service
// gets depends on the others.
type spec struct {
	service   *corev1.Service
	frontends []specFrontend
	backends  []specBackend // ordered by key
	pools     []pool
	problems  []Problem
}

// wanted is a frontend that a service asks for, without backends.
type specFrontend struct {
	Frontend
	field string // of the service that asks for it
	pool  int    // of spec.pools, or noPool
}

const noPool = -1

// specBackend is a backend as one service has it.
type specBackend struct {
	key    backendKey
	node   *nodeInfo
	weight uint32
	slice  *discoveryv1.EndpointSlice // that says so
}

// compiler makes the spec of one service.
type compiler struct {
	options  Options
	nodes    *nodeIndex
	reserved []Reserved
	problems []Problem
}

// compileSpec is pure: of the tracker it reads options, nodes and reserved addresses alone. The slices are those of the service, ordered
// by name.
func compileSpec(service *corev1.Service, from []*discoveryv1.EndpointSlice, t *Tracker) *spec {
	c := &compiler{options: t.options, nodes: t.nodes, reserved: t.reserved}
	s := &spec{service: service}
	if c.ours(service) {
		c.addBackends(s, c.endpoints(service, from))
		for i := range s.pools {
			s.pools[i].choose(s.backends)
		}
		c.addFrontends(s)
	}
	s.problems = c.problems
	return s
}

// problem notes what was wrong with a field of an object.
func (c *compiler) problem(object, field, want, format string, args ...any) {
	c.problems = append(c.problems, Problem{Object: object, Field: field, What: fmt.Sprintf(format, args...), Want: want})
}

// addBackends merges what slices say of the same backend. Of slices that do not agree on its node or weight the first holds.
func (c *compiler) addBackends(s *spec, found []sliceEndpoint) {
	s.backends = make([]specBackend, 0, len(found))
	for i := range found {
		m := &found[i]
		latest := len(s.backends) - 1
		if latest < 0 || s.backends[latest].key != m.key {
			s.backends = append(s.backends, m.specBackend)
			latest++
		}
		for _, problem := range m.specBackend.conflictsWith(&s.backends[latest]) {
			if !slices.Contains(c.problems, problem) { // an endpoint that is at several ports comes more than once
				c.problems = append(c.problems, problem)
			}
		}
		s.pool(m.port, len(found)).add(endpoint{latest, m.conditions, m.hints})
	}
}

// conflictsWith returns where two services' views of one backend differ.
func (c *specBackend) conflictsWith(first *specBackend) []Problem {
	var problems []Problem
	if c.node.name != first.node.name {
		problems = append(problems, Problem{sliceObject(c.slice), "endpoints",
			fmt.Sprintf("%s is on %s here and on %s in %s", c.key.address, c.node, first.node, sliceObject(first.slice)),
			"name one node for one address"})
	}
	if c.weight != first.weight {
		problems = append(problems, Problem{sliceObject(c.slice), "metadata.annotations[" + WeightAnnotation + "]",
			fmt.Sprintf("%s has weight %d here and %d in %s", c.key.address, c.weight, first.weight, sliceObject(first.slice)),
			"give an address one weight"})
	}
	return problems
}

// pool finds the pool of a port, or makes it with room for n endpoints.
func (s *spec) pool(port portKey, n int) *pool {
	i := s.poolOf(port)
	if i == noPool {
		s.pools = append(s.pools, pool{port: port, endpoints: make([]endpoint, 0, n)})
		i = len(s.pools) - 1
	}
	return &s.pools[i]
}

func (s *spec) poolOf(port portKey) int {
	return slices.IndexFunc(s.pools, func(p pool) bool { return p.port == port }) // noPool where there is none
}

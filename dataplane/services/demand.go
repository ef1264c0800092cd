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

// demand is what one service asks for. It follows from the service, its slices and the nodes alone; what of it the service
// gets depends on the others.
type demand struct {
	service   *corev1.Service
	frontends []wanted
	backends  []claim // ordered by key
	pools     []pool
	problems  []Problem
}

// wanted is a frontend that a service asks for, without backends.
type wanted struct {
	Frontend
	field string // of the service that asks for it
	pool  int    // of demand.pools, or noPool
}

const noPool = -1

// claim is a backend as one service has it.
type claim struct {
	key    backendKey
	node   *place
	weight uint32
	slice  *discoveryv1.EndpointSlice // that says so
}

// compiler makes the demand of one service.
type compiler struct {
	options  Options
	places   *places
	problems []Problem
}

// demandOf is pure. The slices are those of the service, ordered by name.
func demandOf(service *corev1.Service, from []*discoveryv1.EndpointSlice, nodes *places, options Options) *demand {
	c := &compiler{options: options, places: nodes}
	d := &demand{service: service}
	if c.ours(service) {
		c.addBackends(d, c.mentions(service, from))
		for i := range d.pools {
			d.pools[i].choose(d.backends)
		}
		c.addFrontends(d)
	}
	d.problems = c.problems
	return d
}

// problem notes what was wrong with a field of an object.
func (c *compiler) problem(object, field, want, format string, args ...any) {
	c.problems = append(c.problems, Problem{Object: object, Field: field, What: fmt.Sprintf(format, args...), Want: want})
}

// addBackends merges what slices say of the same backend. Of slices that do not agree on its node or weight the first holds.
func (c *compiler) addBackends(d *demand, mentions []mention) {
	d.backends = make([]claim, 0, len(mentions))
	for i := range mentions {
		m := &mentions[i]
		latest := len(d.backends) - 1
		if latest < 0 || d.backends[latest].key != m.key {
			d.backends = append(d.backends, m.claim)
			latest++
		}
		for _, problem := range m.claim.against(&d.backends[latest]) {
			if !slices.Contains(c.problems, problem) { // an endpoint that is at several ports is mentioned more than once
				c.problems = append(c.problems, problem)
			}
		}
		d.pool(m.port, len(mentions)).add(endpoint{latest, m.conditions})
	}
}

// against says where two claims of one backend differ.
func (c *claim) against(first *claim) []Problem {
	var problems []Problem
	if c.node.name != first.node.name {
		problems = append(problems, Problem{sliceObject(c.slice), "endpoints",
			fmt.Sprintf("%s is on node %s here and on %s in %s", c.key.address, c.node.name, first.node.name, sliceObject(first.slice)),
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
func (d *demand) pool(port portKey, n int) *pool {
	i := d.poolOf(port)
	if i == noPool {
		d.pools = append(d.pools, pool{port: port, endpoints: make([]endpoint, 0, n)})
		i = len(d.pools) - 1
	}
	return &d.pools[i]
}

func (d *demand) poolOf(port portKey) int {
	return slices.IndexFunc(d.pools, func(p pool) bool { return p.port == port }) // noPool where there is none
}

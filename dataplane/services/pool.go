package services

import discoveryv1 "k8s.io/api/discovery/v1"

// pool are the endpoints of one port and family. What is chosen are indices of spec.backends, ascending.
type pool struct {
	port      portKey
	endpoints []endpoint
	cluster   []int // for traffic policy Cluster
	local     []int // for Local: what every node chooses among its own, all nodes together
	last      []int // those of local that are not ready: the last resort
	hints     *Hints
	anyReady  bool // anywhere
}

// endpoint is a backend at one port.
type endpoint struct {
	backend int // of spec.backends
	conditions
	hints *discoveryv1.EndpointHints
}

// add merges an endpoint that is in two slices, as happens while a controller moves it: any that says "ready" holds.
func (p *pool) add(e endpoint) {
	latest := len(p.endpoints) - 1
	if latest < 0 || p.endpoints[latest].backend != e.backend {
		p.endpoints = append(p.endpoints, e)
		return
	}
	known := &p.endpoints[latest]
	known.ready = known.ready || e.ready
	known.serving = known.serving || e.serving
	known.terminating = known.terminating && e.terminating
	if known.hints == nil {
		known.hints = e.hints
	}
}

// choose finds the endpoints that may get new flows: the ready ones; where there is none, those that still serve while they
// terminate (KEP-1669), which is better than to refuse. With traffic policy Local each node decides so for its own.
func (p *pool) choose(backends []specBackend) {
	p.cluster = make([]int, 0, len(p.endpoints))
	for _, e := range p.endpoints {
		if e.ready {
			p.cluster = append(p.cluster, e.backend)
		}
	}
	p.anyReady = len(p.cluster) > 0
	p.hints = hintsOf(p.endpoints)
	if len(p.cluster) == len(p.endpoints) {
		p.local = p.cluster
		return
	}
	readyOn := make(map[*nodeInfo]bool)
	for _, i := range p.cluster {
		readyOn[backends[i].node] = true
	}
	for _, e := range p.endpoints {
		switch {
		case e.ready:
			p.local = append(p.local, e.backend)
		case e.serving && e.terminating && !readyOn[backends[e.backend].node]:
			p.local = append(p.local, e.backend)
			p.last = append(p.last, e.backend)
		}
	}
	if !p.anyReady {
		p.cluster = p.local
	}
}

// chosen are those that may get new flows from outside the cluster.
func (p *pool) chosen(localOnly bool) []int {
	if localOnly {
		return p.local
	}
	return p.cluster
}

// numberedPool is a pool with numbers of backends. Frontends share it.
type numberedPool struct {
	done                 bool
	cluster, local, last []int
	hints                *Hints
	anyReady, same       bool // same: cluster and local are equal
}

func (n *numberedPool) number(p *pool, numbers []int) {
	if n.done {
		return
	}
	number := func(backends []int) []int {
		numbered := make([]int, len(backends))
		for i, backend := range backends {
			numbered[i] = numbers[backend]
		}
		return numbered
	}
	n.done, n.anyReady = true, p.anyReady
	n.cluster = number(p.cluster)
	if n.same = len(p.cluster) == len(p.local); n.same { // local has all that cluster has
		n.local = n.cluster
	} else {
		n.local = number(p.local)
	}
	if len(p.last) > 0 {
		n.last = number(p.last)
	}
	n.hints = p.hints.numbered(number)
}

// fill gives a frontend its backends.
func (n *numberedPool) fill(f *Frontend) {
	if !f.LocalOnly || f.Kind != KindClusterIP { // a ClusterIP of policy Local has no use for them
		f.Hints = n.hints
	}
	if !f.LocalOnly {
		f.Backends = n.cluster
		if !n.anyReady {
			f.Terminating = n.last
		}
		return
	}
	f.Backends, f.Terminating = n.local, n.last
	if f.Kind != KindClusterIP && !n.same {
		f.Inside = n.cluster
	}
}

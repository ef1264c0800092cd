package labs

import (
	"net/netip"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/meter"
)

// endpoint is an address, port and protocol.
type endpoint struct {
	address  netip.AddrPort
	protocol services.Protocol
}

// answers is what an answer to a client can come from, on any stretch of its way: a frontend, or a pod itself.
type answers struct {
	frontends map[endpoint]bool
	backends  map[endpoint]bool
}

func answersOf(t *services.Tables) answers {
	a := answers{frontends: make(map[endpoint]bool), backends: make(map[endpoint]bool)}
	for i := range t.Frontends {
		f := &t.Frontends[i]
		a.frontends[endpoint{f.AddrPort(), f.Protocol}] = true
	}
	for i := range t.Backends {
		b := &t.Backends[i]
		a.backends[endpoint{b.AddrPort(), b.Protocol}] = true
	}
	return a
}

func (a answers) isAnswer(from endpoint) bool { return a.frontends[from] || a.backends[from] }

// sources is the same for a meter.
func (a answers) sources() []meter.Source {
	var all []meter.Source
	for _, set := range []map[endpoint]bool{a.frontends, a.backends} {
		for e := range set {
			all = append(all, meter.Source{Address: e.address, Protocol: uint8(e.protocol)})
		}
	}
	return all
}

package capture

import (
	"net/netip"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/meter"
)

// Endpoint is an address, port and protocol.
type Endpoint struct {
	Address  netip.AddrPort
	Protocol services.Protocol
}

// Answers is what an answer to a client can come from, on any stretch of its way: a frontend, or a pod itself.
type Answers struct {
	Frontends map[Endpoint]bool
	Backends  map[Endpoint]bool
}

func AnswersOf(t *services.Tables) Answers {
	a := Answers{Frontends: make(map[Endpoint]bool), Backends: make(map[Endpoint]bool)}
	for i := range t.Frontends {
		f := &t.Frontends[i]
		a.Frontends[Endpoint{f.AddrPort(), f.Protocol}] = true
	}
	for i := range t.Backends {
		b := &t.Backends[i]
		a.Backends[Endpoint{b.AddrPort(), b.Protocol}] = true
	}
	return a
}

func (a Answers) IsAnswer(from Endpoint) bool { return a.Frontends[from] || a.Backends[from] }

// Sources is the same for a meter.
func (a Answers) Sources() []meter.Source {
	var all []meter.Source
	for _, set := range []map[Endpoint]bool{a.Frontends, a.Backends} {
		for e := range set {
			all = append(all, meter.Source{Address: e.Address, Protocol: uint8(e.Protocol)})
		}
	}
	return all
}

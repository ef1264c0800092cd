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

// ReplySources holds the possible sources of a reply anywhere on its path: a frontend, or a backend itself.
type ReplySources struct {
	Frontends map[Endpoint]bool
	Backends  map[Endpoint]bool
}

// ReplySourcesOf returns the reply sources of all frontends and backends in the tables.
func ReplySourcesOf(t *services.Tables) ReplySources {
	s := ReplySources{Frontends: make(map[Endpoint]bool), Backends: make(map[Endpoint]bool)}
	for i := range t.Frontends {
		f := &t.Frontends[i]
		s.Frontends[Endpoint{f.AddrPort(), f.Protocol}] = true
	}
	for i := range t.Backends {
		b := &t.Backends[i]
		s.Backends[Endpoint{b.AddrPort(), b.Protocol}] = true
	}
	return s
}

// IsReply reports whether a packet from this endpoint is a reply.
func (s ReplySources) IsReply(from Endpoint) bool { return s.Frontends[from] || s.Backends[from] }

// Sources returns the same for a meter.
func (s ReplySources) Sources() []meter.Source {
	var all []meter.Source
	for _, set := range []map[Endpoint]bool{s.Frontends, s.Backends} {
		for e := range set {
			all = append(all, meter.Source{Address: e.Address, Protocol: uint8(e.Protocol)})
		}
	}
	return all
}

package dataplane

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// pieces cuts a packet into fragments of at most size bytes of IP payload.
func pieces(p packetSpec, size int) []packetSpec {
	var all []packetSpec
	for offset := 0; offset < p.l4Length(); offset += size {
		piece := p
		piece.fragment = &fragSpec{offset: offset, size: size, id: 77}
		all = append(all, piece)
	}
	return all
}

// All fragments of a request follow the first one through the tunnel, into the pod; so do those of the answer.
func TestFragments(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		for _, mode := range []services.Mode{services.ModeDSR, services.ModeSNAT} {
			t.Run(string(mode), func(t *testing.T) {
				lb, worker := w.lb(t, mode), w.worker(t, mode)
				request := packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: portEcho, udp: true, payload: 4000}
				var client netip.AddrPort
				for i, piece := range pieces(request, 1304) {
					in := piece.frame(t)
					assert.EqualValues(t, xdpPass, lb.send(t, FromNetworkXDP, in).action, "tc has the fragments")
					r := lb.send(t, FromNetwork, in)
					assert.Equal(t, only("to-overlay-"+string(mode)), r.reasons, "fragment %d", i)
					inner := dissect(t, r.frame).inner
					if i == 0 {
						client = netip.AddrPortFrom(inner.addresses()[0], inner.ports()[0])
					}
					assert.Equal(t, [2]netip.Addr{client.Addr(), w.pod}, inner.addresses())
					assert.EqualValues(t, xdpPass, worker.send(t, FromNetworkXDP, r.frame).action, "likewise")
					r = worker.send(t, FromNetwork, r.frame)
					assert.Equal(t, only("from-overlay"), r.reasons)
					assert.Equal(t, podMAC, dissect(t, r.frame).eth.DstMAC)
				}
				answer := packetSpec{src: w.pod, dst: client.Addr(), sport: 8080, dport: client.Port(), udp: true, payload: 4000}
				for i, piece := range pieces(answer, 1304) {
					r := worker.send(t, FromPod, piece.frame(t))
					if mode == services.ModeSNAT {
						assert.Equal(t, only("not-ours"), r.reasons)
						r = lb.send(t, FromNetwork, r.frame)
					}
					back := dissect(t, r.frame)
					assert.Equal(t, [2]netip.Addr{w.vip, w.client}, back.addresses(), "fragment %d", i)
					if i == 0 {
						assert.Equal(t, [2]uint16{portEcho, 40000}, back.ports())
					}
				}
			})
		}
	})
}

// A fragment of a datagram whose first fragment has not come can't be balanced.
func TestFragmentsOutOfOrder(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		request := packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: portEcho, udp: true, payload: 4000}
		r := w.lb(t, services.ModeDSR).send(t, FromNetwork, pieces(request, 1304)[1].frame(t))
		assert.EqualValues(t, actShot, r.action)
		assert.Equal(t, only("fragment"), r.reasons)
	})
}

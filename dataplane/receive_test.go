package dataplane

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// deliveries are the two ways of a packet from the network into a pod. Where tc takes off a tunnel of another family it uses
// another redirect, but answers the same.
func deliveries() map[Direction]uint32 {
	return map[Direction]uint32{FromNetwork: actRedirect, FromNetworkXDP: xdpRedirect}
}

func TestReceiveAndReply(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		tests := []struct {
			name         string
			packet       packetSpec
			answer       packetSpec
			answerSource uint16
		}{
			{
				name:   "TCP with option",
				packet: packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 90, syn: true, mss: 1460, geneve: w.around(dsrOption(w.vip, portOther))},
				answer: packetSpec{src: w.pod, dst: w.client, sport: 90, dport: 40000, syn: true, ack: true, mss: 1460}, answerSource: portOther,
			},
			{
				name:   "UDP with option",
				packet: packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, udp: true, payload: 5, geneve: w.around(dsrOption(w.vip, portEcho))},
				answer: packetSpec{src: w.pod, dst: w.client, sport: 8080, dport: 40000, udp: true, payload: 9}, answerSource: portEcho,
			},
			{
				name: "an unknown option that isn't critical comes first",
				packet: packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, syn: true,
					geneve: w.around(append([]byte{0x12, 0x34, 0x01, 1, 9, 9, 9, 9}, dsrOption(w.vip, portEcho)...))},
				answer: packetSpec{src: w.pod, dst: w.client, sport: 8080, dport: 40000, syn: true, ack: true}, answerSource: portEcho,
			},
		}
		for _, test := range tests {
			for hook, action := range deliveries() {
				t.Run(test.name+" "+string(hook), func(t *testing.T) {
					d := w.worker(t, services.ModeDSR)
					r := d.send(t, hook, test.packet.frame(t))
					assert.EqualValues(t, action, r.action)
					assert.Equal(t, only("from-overlay"), r.reasons)
					in := dissect(t, r.frame)
					assert.Nil(t, in.geneve)
					assert.Equal(t, [2]netip.Addr{w.client, w.pod}, in.addresses())
					assert.Equal(t, podMAC, in.eth.DstMAC)
					assert.Equal(t, vethMAC, in.eth.SrcMAC)

					for range 2 { // unconfirmed, and confirmed
						r = d.send(t, FromPod, test.answer.frame(t))
						assert.EqualValues(t, actRedirect, r.action)
						assert.Equal(t, only("reply-direct"), r.reasons)
						back := dissect(t, r.frame)
						assert.Equal(t, [2]netip.Addr{w.vip, w.client}, back.addresses())
						assert.Equal(t, [2]uint16{test.answerSource, 40000}, back.ports())
						assert.EqualValues(t, 63, back.ttl())
						if test.answer.mss != 0 {
							ip, tunnel := w.headers()
							assert.EqualValues(t, 1500-tunnel-ip-20, back.mss(), "clamped")
						}
						next := test.packet
						next.syn, next.ack, next.mss, next.geneve = false, !next.udp, 0, w.around(nil)
						if next.udp {
							next.geneve = test.packet.geneve
						}
						assert.Equal(t, only("from-overlay"), d.send(t, hook, next.frame(t)).reasons)
					}
				})
			}
		}
	})
}

func TestReceiveFromSNAT(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		for hook, action := range deliveries() {
			d := w.worker(t, services.ModeSNAT)
			packet := packetSpec{src: w.lbNode, dst: w.pod, sport: 40000, dport: 8080, syn: true, geneve: w.around(nil)}
			r := d.send(t, hook, packet.frame(t))
			assert.EqualValues(t, action, r.action)
			assert.Equal(t, only("from-overlay"), r.reasons)

			answer := packetSpec{src: w.pod, dst: w.lbNode, sport: 8080, dport: 40000, syn: true, ack: true}
			r = d.send(t, FromPod, answer.frame(t))
			assert.EqualValues(t, actOK, r.action, "routed to the LB node by the stack")
			assert.Equal(t, only("not-ours"), r.reasons)
		}
	})
}

func TestReceiveRefused(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		good := packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, syn: true}
		with := func(change func(*packetSpec, *geneveSpec)) packetSpec {
			p, g := good, *w.around(dsrOption(w.vip, portEcho))
			change(&p, &g)
			p.geneve = &g
			return p
		}
		stranger := w.other
		if stranger.Is4() != w.podTunnel.Is4() {
			stranger = map[bool]netip.Addr{true: addr("192.168.1.203"), false: addr("2001:db8:1::203")}[w.podTunnel.Is4()]
		}
		option := dsrOption(w.vip, portEcho)
		tests := []struct {
			name   string
			packet packetSpec
			reason string
		}{
			{"sender is no node", with(func(_ *packetSpec, g *geneveSpec) { g.src = stranger }), "unknown-node"},
			{"sender is this node", with(func(_ *packetSpec, g *geneveSpec) { g.src = w.podTunnel }), "unknown-node"},
			{"another VNI", with(func(_ *packetSpec, g *geneveSpec) { g.vni = 3 }), "vni"},
			{"payload is no Ethernet frame", with(func(_ *packetSpec, g *geneveSpec) { g.protocol = 0x0800 }), "geneve"},
			{"option longer than the options", with(func(_ *packetSpec, g *geneveSpec) { g.options = option[:8] }), "geneve"},
			{"option of no family's length", with(func(_ *packetSpec, g *geneveSpec) {
				g.options = append([]byte{0x01, 0x4b, 0x81, 3}, make([]byte, 12)...)
			}), "geneve"},
			{"option without address", with(func(_ *packetSpec, g *geneveSpec) {
				g.options = []byte{0x01, 0x4b, 0x81, 2, 0, 0, 0, 0, 0x1f, 0x90, 0, 0}
			}), "geneve"},
			{"option twice", with(func(_ *packetSpec, g *geneveSpec) { g.options = append(option[:len(option):len(option)], option...) }), "geneve"},
			{"unknown critical option", with(func(_ *packetSpec, g *geneveSpec) { g.options = []byte{0x12, 0x34, 0x80, 0} }), "geneve"},
			{"too many options", with(func(_ *packetSpec, g *geneveSpec) { g.options = make([]byte, 5*4) }), "geneve"},
			{"pod that is no backend on this port", with(func(p *packetSpec, _ *geneveSpec) { p.dport = 22 }), "not-backend"},
			{"no pod of this node", with(func(p *packetSpec, _ *geneveSpec) { p.dst = w.localPod }), "not-backend"},
		}
		d := w.worker(t, services.ModeDSR)
		for _, test := range tests {
			for hook, drop := range map[Direction]uint32{FromNetwork: actShot, FromNetworkXDP: xdpDrop} {
				t.Run(test.name+" "+string(hook), func(t *testing.T) {
					r := d.send(t, hook, test.packet.frame(t))
					assert.EqualValues(t, drop, r.action)
					assert.Equal(t, only(test.reason), r.reasons)
				})
			}
		}
	})
}

// The kernel cuts a datagram where UDP's length says, and drops one that is longer than its packet (net/ipv4/udp.c).
func TestReceiveLengthOfDatagram(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		good := packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, syn: true, geneve: w.around(dsrOption(w.vip, portEcho))}
		frame, at := good.frame(t), 14+40+4
		if w.podTunnel.Is4() {
			at = 14 + 20 + 4
		}
		length := binary.BigEndian.Uint16(frame[at:])
		d := w.worker(t, services.ModeDSR)
		for _, other := range []uint16{0, 7, 8, 10, length - 1, length + 1, 0xffff} {
			binary.BigEndian.PutUint16(frame[at:], other)
			for hook, drop := range map[Direction]uint32{FromNetwork: actShot, FromNetworkXDP: xdpDrop} {
				r := d.send(t, hook, frame)
				assert.EqualValues(t, drop, r.action, "%d instead of %d, %s", other, length, hook)
				assert.Equal(t, only("geneve"), r.reasons, "%d instead of %d, %s", other, length, hook)
			}
		}
	})
}

// What is behind the datagram in its frame is padding, and no part of the packet inside it.
func TestReceiveEndOfDatagram(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		good := packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, syn: true, payload: 40, geneve: w.around(dsrOption(w.vip, portEcho))}
		frame := good.frame(t)
		ip, udp := 14+4, 14+40+4 // lengths: payload length of IPv6
		if w.podTunnel.Is4() {
			ip, udp = 14+2, 14+20+4
		}
		d := w.worker(t, services.ModeDSR)
		for hook, action := range deliveries() {
			r := d.send(t, hook, append(frame[:len(frame):len(frame)], make([]byte, 20)...))
			assert.EqualValues(t, action, r.action, "padded, %s", hook)
		}
		for _, at := range []int{ip, udp} {
			binary.BigEndian.PutUint16(frame[at:], binary.BigEndian.Uint16(frame[at:])-1)
		}
		for hook, drop := range map[Direction]uint32{FromNetwork: actShot, FromNetworkXDP: xdpDrop} {
			r := d.send(t, hook, frame)
			assert.EqualValues(t, drop, r.action, hook)
			assert.Equal(t, only("truncated"), r.reasons, hook)
		}
	})
}

// A client's packet without the option, of no flow that is known: it goes back to the LB node, to ask for the option.
func TestReceiveUnknownFlow(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.worker(t, services.ModeDSR)
		packet := packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, ack: true, geneve: w.around(nil)}
		for hook, action := range map[Direction]uint32{FromNetwork: actRedirect, FromNetworkXDP: xdpTX} {
			r := d.send(t, hook, packet.frame(t))
			assert.EqualValues(t, action, r.action)
			assert.Equal(t, only("no-flow"), r.reasons)
		}
	})
}

func TestPodGeneve(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.worker(t, services.ModeDSR)
		for _, node := range append(w.lbAddresses, w.podsNodes...) {
			if node.Is4() != w.pod.Is4() {
				continue
			}
			forged := packetSpec{src: w.pod, dst: node, sport: 40000, dport: 6081, udp: true, payload: 60}
			r := d.send(t, FromPod, forged.frame(t))
			assert.EqualValues(t, actShot, r.action)
			assert.Equal(t, only("pod-geneve"), r.reasons)
		}
		elsewhere := packetSpec{src: w.pod, dst: w.client, sport: 40000, dport: 6081, udp: true}
		assert.EqualValues(t, actOK, d.send(t, FromPod, elsewhere.frame(t)).action)
	})
}

// An answer that would show the pod's address to a client is dropped; to pods and nodes, and to clients that called the pod
// itself, it is not.
func TestNoLeak(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.worker(t, services.ModeDSR)
		answer := packetSpec{src: w.pod, dst: w.client, sport: 8080, dport: 40000, syn: true, ack: true}
		r := d.send(t, FromPod, answer.frame(t))
		assert.EqualValues(t, actShot, r.action)
		assert.Equal(t, only("leak"), r.reasons)

		for _, inside := range []netip.Addr{w.localPod, w.lbNode} {
			to := answer
			to.dst = inside
			assert.Equal(t, only("not-ours"), d.send(t, FromPod, to.frame(t)).reasons, "to %v", inside)
		}
		own := packetSpec{src: w.pod, dst: w.client, sport: 50000, dport: 443, syn: true}
		assert.Equal(t, only("not-ours"), d.send(t, FromPod, own.frame(t)).reasons, "the pod's own call")

		direct := packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, syn: true}
		assert.Equal(t, only("not-ours"), d.send(t, FromNetwork, direct.frame(t)).reasons)
		r = d.send(t, FromPod, answer.frame(t))
		assert.Equal(t, only("not-ours"), r.reasons, "the client called the pod itself")
		assert.Equal(t, answer.frame(t), r.frame)
	})
}

// One client tuple that reaches one pod through two frontends could not be told apart in the answers.
func TestCollision(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		for hook := range deliveries() {
			d := w.worker(t, services.ModeDSR)
			through := func(frontend netip.Addr, port uint16) packetSpec {
				return packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, syn: true, geneve: w.around(dsrOption(frontend, port))}
			}
			answer := packetSpec{src: w.pod, dst: w.client, sport: 8080, dport: 40000, ack: true}
			first := through(w.vip, portEcho)
			for range 2 {
				assert.Equal(t, only("from-overlay"), d.send(t, hook, first.frame(t)).reasons)
				first.syn, first.ack = false, true
			}
			assert.Equal(t, only("collision"), d.send(t, hook, through(w.vip, portOther).frame(t)).reasons)
			assert.Equal(t, only("collision"), d.send(t, hook, through(w.lbNode, portEcho).frame(t)).reasons)
			assert.EqualValues(t, portEcho, dissect(t, d.send(t, FromPod, answer.frame(t)).frame).ports()[0], "the first flow goes on")

			reset := packetSpec{src: w.pod, dst: w.client, sport: 8080, dport: 40000, rst: true}
			d.send(t, FromPod, reset.frame(t))
			assert.Equal(t, only("from-overlay"), d.send(t, hook, through(w.vip, portOther).frame(t)).reasons, "the first flow has ended")
			assert.EqualValues(t, portOther, dissect(t, d.send(t, FromPod, answer.frame(t)).frame).ports()[0])
		}
	})
}

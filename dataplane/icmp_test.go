package dataplane

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// icmp is what an ICMP error says: its kind, the MTU in it, and the packet that it quotes.
type icmp struct {
	kind   [2]uint8 // type and code
	mtu    uint32
	quoted []byte
}

func (d *dissected) icmp(t *testing.T) icmp {
	t.Helper()
	if d.icmp4 != nil {
		return icmp{[2]uint8{d.icmp4.TypeCode.Type(), d.icmp4.TypeCode.Code()}, uint32(d.icmp4.Seq), d.icmp4.Payload}
	}
	require.NotNil(t, d.icmp6, "an ICMP error")
	return icmp{[2]uint8{d.icmp6.TypeCode.Type(), d.icmp6.TypeCode.Code()}, binary.BigEndian.Uint32(d.icmp6.Payload), d.icmp6.Payload[4:]}
}

// quotedTuple are addresses and ports of a quoted packet.
func quotedTuple(quoted []byte) (src, dst netip.AddrPort) {
	at, ports := 12, 20
	size := 4
	if quoted[0]>>4 == 6 {
		at, ports, size = 8, 40, 16
	}
	a, _ := netip.AddrFromSlice(quoted[at : at+size])
	b, _ := netip.AddrFromSlice(quoted[at+size : at+2*size])
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(quoted[ports:])), netip.AddrPortFrom(b, binary.BigEndian.Uint16(quoted[ports+2:]))
}

// checkQuotedHeader checks the checksum of a quoted IPv4 header.
func checkQuotedHeader(t *testing.T, quoted []byte) {
	if quoted[0]>>4 != 4 {
		return
	}
	ip := gopacket.NewPacket(quoted, layers.LayerTypeIPv4, gopacket.Default).NetworkLayer().(*layers.IPv4)
	fresh := *ip
	require.NoError(t, fresh.SerializeTo(gopacket.NewSerializeBuffer(), gopacket.SerializeOptions{ComputeChecksums: true}))
	assert.Equal(t, fresh.Checksum, ip.Checksum, "checksum of the quoted IP header")
}

// A packet that can't be forwarded, and whose sender can do something about it, is answered from the frontend's address; one that has
// gone too far from the node's, as a router does it.
func TestRefuseByICMP(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		big := packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: portEcho, udp: true, payload: 1430}
		ip, tunnel := w.headers()
		tests := []struct {
			name   string
			point  Direction
			packet packetSpec
			reason string
			v4, v6 [2]uint8 // type and code
			mtu    int
			from   netip.Addr
		}{
			{"request with DF that does not fit", FromNetwork, big, "too-big", [2]uint8{3, 4}, [2]uint8{2, 0}, 1500 - tunnel, w.vip},
			{"service without endpoints, TCP", FromNetwork, w.syn(portNone), "no-backend", [2]uint8{3, 3}, [2]uint8{1, 4}, 0, w.vip},
			{"request that has gone too far", FromNetwork, packetSpec{src: w.client, dst: w.vip, sport: 1, dport: portEcho, syn: true, ttl: 1},
				"ttl", [2]uint8{11, 0}, [2]uint8{3, 0}, 0, w.lbNode},
			{"likewise, a datagram", FromNetwork, packetSpec{src: w.client, dst: w.vip, sport: 1, dport: portEcho, udp: true, ttl: 1},
				"ttl", [2]uint8{11, 0}, [2]uint8{3, 0}, 0, w.lbNode},
			{"service without endpoints, from a pod", FromPod, packetSpec{src: w.localPod, dst: w.vip, sport: 1, dport: portNone, syn: true},
				"no-backend", [2]uint8{3, 3}, [2]uint8{1, 4}, 0, w.vip},
			{"likewise, from the node", FromNode, packetSpec{src: w.lbNode, dst: w.vip, sport: 1, dport: portNone, syn: true},
				"no-backend", [2]uint8{3, 3}, [2]uint8{1, 4}, 0, w.vip},
		}
		d := w.lb(t, services.ModeDSR)
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				in := test.packet.frame(t)
				r := d.send(t, test.point, in)
				assert.EqualValues(t, actRedirect, r.action)
				assert.Equal(t, only(test.reason), r.reasons)
				out := dissect(t, r.frame)
				assert.Equal(t, [2]netip.Addr{test.from, test.packet.src}, out.addresses())
				assert.Equal(t, nodeMAC, out.eth.SrcMAC, "back by the way it came")
				assert.Equal(t, clientMAC, out.eth.DstMAC)
				e := out.icmp(t)
				assert.Equal(t, map[bool][2]uint8{true: test.v4, false: test.v6}[w.vip.Is4()], e.kind)
				assert.EqualValues(t, test.mtu, e.mtu)
				assert.Equal(t, in[14:14+len(e.quoted)], e.quoted, "quotes the packet as it came")
				assert.GreaterOrEqual(t, len(e.quoted), ip+8)
			})
		}
	})
}

// A router on the way of an answer says that it is too big. The answer bore the frontend's address, so the LB node gets the
// error, and the pod has to.
func TestRelayThroughDSR(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		router := w.other
		answer := packetSpec{src: w.vip, dst: w.client, sport: portOther, dport: 40000, ack: true, payload: 1300}
		toFrontend := icmpError(t, router, w.vip, 1280, answer.ip(t))
		for name, before := range map[string][]packetSpec{"flow of this node": {w.syn(portOther)}, "flow of another LB node": nil} {
			t.Run(name, func(t *testing.T) {
				lb := w.lb(t, services.ModeDSR)
				lb.sendAll(t, FromNetwork, before...)
				assert.EqualValues(t, xdpPass, lb.send(t, FromNetworkXDP, toFrontend).action, "tc relays")
				r := lb.send(t, FromNetwork, toFrontend)
				assert.EqualValues(t, actRedirect, r.action)
				assert.Equal(t, only("icmp-relayed"), r.reasons)
				outer := dissect(t, r.frame)
				checkOuter(t, w, outer, nil)
				checkRelayed(t, outer.inner, router, netip.AddrPortFrom(w.pod, 90), netip.AddrPortFrom(w.client, 40000))

				worker := w.worker(t, services.ModeDSR)
				forged := worker.send(t, FromNetwork, r.frame)
				assert.EqualValues(t, actShot, forged.action)
				assert.Equal(t, only("icmp-no-flow"), forged.reasons, "about no flow of the pod's: anybody can send it")
				request := packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 90, syn: true, geneve: w.around(dsrOption(w.vip, portOther))}
				require.Equal(t, only("from-overlay"), worker.send(t, FromNetwork, request.frame(t)).reasons)
				assert.EqualValues(t, xdpPass, worker.send(t, FromNetworkXDP, r.frame).action, "tc delivers")
				r = worker.send(t, FromNetwork, r.frame)
				assert.EqualValues(t, actRedirect, r.action)
				assert.Equal(t, only("icmp-relayed"), r.reasons)
				in := dissect(t, r.frame)
				assert.Equal(t, podMAC, in.eth.DstMAC)
				checkRelayed(t, in, router, netip.AddrPortFrom(w.pod, 90), netip.AddrPortFrom(w.client, 40000))
			})
		}
	})
}

// checkRelayed checks an error about a packet that the pod sent.
func checkRelayed(t *testing.T, d *dissected, router netip.Addr, pod, peer netip.AddrPort) {
	t.Helper()
	assert.Equal(t, [2]netip.Addr{router, pod.Addr()}, d.addresses())
	e := d.icmp(t)
	assert.EqualValues(t, 1280, e.mtu)
	src, dst := quotedTuple(e.quoted)
	assert.Equal(t, pod, src)
	assert.Equal(t, peer, dst)
	checkQuotedHeader(t, e.quoted)
}

func TestRelayThroughSNAT(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		lb := w.lb(t, services.ModeSNAT)
		answer := packetSpec{src: w.vip, dst: w.client, sport: portOther, dport: 40000, ack: true, payload: 1300}
		toFrontend := icmpError(t, w.other, w.vip, 1280, answer.ip(t))
		r := lb.send(t, FromNetwork, toFrontend)
		assert.Equal(t, only("icmp-no-flow"), r.reasons, "no flow is known")

		port := dissect(t, lb.send(t, FromNetwork, w.syn(portOther).frame(t)).frame).inner.ports()[0]
		r = lb.send(t, FromNetwork, toFrontend)
		assert.Equal(t, only("icmp-relayed"), r.reasons)
		outer := dissect(t, r.frame)
		checkRelayed(t, outer.inner, w.other, netip.AddrPortFrom(w.pod, 90), netip.AddrPortFrom(w.lbNode, port))

		// The other way round: the pod refuses what it got from the node; the client must hear it from the frontend.
		request := packetSpec{src: w.lbNode, dst: w.pod, sport: port, dport: 90, ack: true, payload: 9}
		r = lb.send(t, FromNetwork, icmpError(t, w.pod, w.lbNode, 1280, request.ip(t)))
		assert.Equal(t, only("icmp-relayed"), r.reasons)
		out := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.vip, w.client}, out.addresses())
		src, dst := quotedTuple(out.icmp(t).quoted)
		assert.Equal(t, netip.AddrPortFrom(w.client, 40000), src)
		assert.Equal(t, netip.AddrPortFrom(w.vip, portOther), dst)
		checkQuotedHeader(t, out.icmp(t).quoted)
	})
}

// A pod's own error, as for a closed UDP port: the client knows the frontend only, and must not see the pod's address.
func TestErrorOfPod(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.worker(t, services.ModeDSR)
		request := packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, udp: true, payload: 20}
		refused := icmpError(t, w.pod, w.client, 0, request.ip(t))
		r := d.send(t, FromPod, refused)
		assert.EqualValues(t, actShot, r.action)
		assert.Equal(t, only("leak"), r.reasons)

		request.geneve = w.around(dsrOption(w.vip, portEcho))
		d.send(t, FromNetwork, request.frame(t))
		r = d.send(t, FromPod, refused)
		assert.EqualValues(t, actRedirect, r.action)
		assert.Equal(t, only("icmp-relayed"), r.reasons)
		out := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.vip, w.client}, out.addresses())
		src, dst := quotedTuple(out.icmp(t).quoted)
		assert.Equal(t, netip.AddrPortFrom(w.client, 40000), src)
		assert.Equal(t, netip.AddrPortFrom(w.vip, portEcho), dst)
	})
}

// Out of a tunnel only errors about a backend's own packets go to pods.
func TestReceiveErrorRefused(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.worker(t, services.ModeDSR)
		about := packetSpec{src: w.pod, dst: w.client, sport: 22, dport: 40000, ack: true, payload: 9}
		frame := w.around(nil).wrap(t, icmpError(t, w.other, w.pod, 1280, about.ip(t)))
		r := d.send(t, FromNetwork, frame)
		assert.EqualValues(t, actShot, r.action)
		assert.Equal(t, only("not-backend"), r.reasons)
	})
}

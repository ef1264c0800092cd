package dataplane

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// hooks are the two ways of a packet from the network, and what they say when they send it on.
func hooks() map[Direction]uint32 {
	return map[Direction]uint32{FromNetwork: actRedirect, FromNetworkXDP: xdpTX}
}

// checkOuter checks all that stands around a packet between the nodes.
func checkOuter(t *testing.T, w world, outer *dissected, option []byte) {
	assert.Equal(t, podNodeMAC, outer.eth.DstMAC, "the next hop is known")
	assert.Equal(t, nodeMAC, outer.eth.SrcMAC)
	assert.Equal(t, [2]netip.Addr{w.lbTunnel, w.podTunnel}, outer.addresses())
	assert.EqualValues(t, 64, outer.ttl())
	if outer.ip4 != nil {
		assert.Equal(t, "DF", outer.ip4.Flags.String())
	}
	assert.EqualValues(t, 6081, outer.udp.DstPort)
	assert.GreaterOrEqual(t, uint16(outer.udp.SrcPort), uint16(49152), "entropy")
	assert.Zero(t, outer.udp.Checksum)
	assert.EqualValues(t, 0x6558, outer.geneve.Protocol)
	assert.EqualValues(t, 2, outer.geneve.VNI)
	assert.Equal(t, option != nil, outer.geneve.CriticalOption)
	assert.Equal(t, string(option), string(outer.geneve.Contents[8:]), "option")
	require.NotNil(t, outer.inner)
	assert.Equal(t, clientMAC, outer.inner.eth.SrcMAC, "the inner frame keeps its Ethernet header")
	assert.EqualValues(t, 63, outer.inner.ttl())
}

func TestForwardDSR(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		ack := packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: portEcho, ack: true, payload: 100}
		datagram := packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: portEcho, udp: true, payload: 33}
		externalIP := packetSpec{src: w.client, dst: w.vip.Next(), sport: 40000, dport: portEcho, syn: true}
		nodePort := packetSpec{src: w.client, dst: w.lbNode, sport: 40000, dport: portNode, syn: true}
		tests := []struct {
			name   string
			before []packetSpec // packets of the flow that were sent before
			packet packetSpec
			port   uint16 // of the backend
			option []byte // expected
		}{
			{name: "SYN carries the option", packet: w.syn(portEcho), port: 8080, option: dsrOption(w.vip, portEcho)},
			{name: "later segments don't", before: []packetSpec{w.syn(portEcho)}, packet: ack, port: 8080},
			{name: "proven flows neither", before: []packetSpec{w.syn(portEcho), ack, ack}, packet: ack, port: 8080},
			{
				name: "a flow that began elsewhere does on every packet", before: []packetSpec{ack, ack},
				packet: ack, port: 8080, option: dsrOption(w.vip, portEcho),
			},
			{name: "UDP does on every packet", before: []packetSpec{datagram, datagram}, packet: datagram, port: 8080, option: dsrOption(w.vip, portEcho)},
			{name: "another target port", packet: w.syn(portOther), port: 90, option: dsrOption(w.vip, portOther)},
			{name: "NodePort", packet: nodePort, port: 8080, option: dsrOption(w.lbNode, portNode)},
			{name: "ExternalIP", packet: externalIP, port: 8080, option: dsrOption(w.vip.Next(), portEcho)},
		}
		d := w.lb(t, services.ModeDSR)
		source := uint16(40000)
		for _, test := range tests {
			for hook, action := range hooks() {
				source++ // each is a flow of its own
				for i := range test.before {
					test.before[i].sport = source
				}
				test.packet.sport = source
				t.Run(test.name+" "+string(hook), func(t *testing.T) {
					d.sendAll(t, hook, test.before...)
					in := test.packet.frame(t)
					r := d.send(t, hook, in)
					assert.EqualValues(t, action, r.action)
					assert.Equal(t, only("to-overlay-dsr"), r.reasons)
					overhead := 70
					if w.podTunnel.Is4() {
						overhead = 50
					}
					assert.Len(t, r.frame, len(in)+overhead+len(test.option), "overhead")
					outer := dissect(t, r.frame)
					checkOuter(t, w, outer, test.option)
					assert.Equal(t, [2]netip.Addr{w.client, w.pod}, outer.inner.addresses())
					assert.Equal(t, [2]uint16{test.packet.sport, test.port}, outer.inner.ports())
					if test.packet.mss != 0 {
						assert.Equal(t, test.packet.mss, outer.inner.mss(), "the client's own offer stays")
					}
				})
			}
		}
	})
}

func TestForwardSNAT(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		for hook, action := range hooks() {
			t.Run(string(hook), func(t *testing.T) {
				d := w.lb(t, services.ModeSNAT)
				r := d.send(t, hook, w.syn(portOther).frame(t))
				assert.EqualValues(t, action, r.action)
				assert.Equal(t, only("to-overlay-snat"), r.reasons)
				outer := dissect(t, r.frame)
				checkOuter(t, w, outer, nil)
				assert.Equal(t, [2]netip.Addr{w.lbNode, w.pod}, outer.inner.addresses())
				assert.EqualValues(t, 90, outer.inner.tcp.DstPort)
				port := uint16(outer.inner.tcp.SrcPort)
				assert.Equal(t, uint16(6082+40000%23918), port, "another one for each of the client's own ports, below those of sockets")

				again := packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: portOther, ack: true, payload: 10}
				for range 3 {
					r = d.send(t, hook, again.frame(t))
					assert.EqualValues(t, port, dissect(t, r.frame).inner.tcp.SrcPort, "the flow keeps its port")
				}
				answer := packetSpec{src: w.pod, dst: w.lbNode, sport: 90, dport: port, syn: true, ack: true, mss: 1460}
				if hook == FromNetworkXDP {
					assert.EqualValues(t, xdpPass, d.send(t, hook, answer.frame(t)).action, "tc translates answers")
				}
				r = d.send(t, FromNetwork, answer.frame(t))
				assert.EqualValues(t, actRedirect, r.action)
				assert.Equal(t, only("reply-from-snat"), r.reasons)
				back := dissect(t, r.frame)
				assert.Equal(t, [2]netip.Addr{w.vip, w.client}, back.addresses())
				assert.Equal(t, [2]uint16{portOther, 40000}, back.ports())
				ip, tunnel := w.headers()
				assert.EqualValues(t, 1500-tunnel-ip-20, back.mss(), "clamped")
			})
		}
	})
}

// 0 in UDP's checksum over IPv4 means that there is none: it must stay so.
func TestForwardUDPWithoutChecksum(t *testing.T) {
	w := worlds()[0]
	for hook := range hooks() {
		r := w.lb(t, services.ModeDSR).send(t, hook,
			packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: portEcho, udp: true, noChecksum: true, payload: 9}.frame(t))
		assert.Zero(t, dissect(t, r.frame).inner.udp.Checksum)
	}
}

func TestForwardLocal(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		for _, mode := range []services.Mode{services.ModeDSR, services.ModeSNAT} {
			for hook := range hooks() {
				t.Run(string(mode)+" "+string(hook), func(t *testing.T) {
					d := w.lb(t, mode)
					r := d.send(t, hook, w.syn(portLocal).frame(t))
					assert.EqualValues(t, map[Direction]uint32{FromNetwork: actRedirect, FromNetworkXDP: xdpRedirect}[hook], r.action)
					assert.Equal(t, only("to-endpoint"), r.reasons)
					in := dissect(t, r.frame)
					assert.Equal(t, [2]netip.Addr{w.client, w.localPod}, in.addresses())
					assert.Equal(t, podMAC, in.eth.DstMAC)
					assert.Equal(t, vethMAC, in.eth.SrcMAC)

					answer := packetSpec{src: w.localPod, dst: w.client, sport: portLocal, dport: 40000, syn: true, ack: true}
					r = d.send(t, FromPod, answer.frame(t))
					assert.Equal(t, only("reply-direct"), r.reasons)
					assert.Equal(t, [2]netip.Addr{w.vip, w.client}, dissect(t, r.frame).addresses())
				})
			}
		}
	})
}

// What is refused leaves as it came, but where the client is told by ICMP: TestRefuseByICMP has these.
func TestForwardRefused(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		other := w.syn(portRanges)
		other.src = w.other
		tests := []struct {
			name   string
			packet packetSpec
			reason string
		}{
			{"port without service", w.syn(1), "no-frontend"},
			{"protocol without service", packetSpec{src: w.client, dst: w.vip, sport: 1, dport: portOther, udp: true}, "no-frontend"},
			{"policy Local, no endpoint here", w.syn(portOnlyHere), "no-local-backend"},
			{"outside of the source ranges", other, "source-range"},
			{"ClusterIP from outside", packetSpec{src: w.client, dst: w.clusterIP, sport: 1, dport: portCluster, syn: true}, "cluster-ip"},
			{"IP options", packetSpec{src: w.client, dst: w.vip, sport: 1, dport: portEcho, syn: true, ipOptions: true}, "ip-options"},
		}
		for _, mode := range []services.Mode{services.ModeDSR, services.ModeSNAT} {
			d := w.lb(t, mode)
			for _, test := range tests {
				t.Run(test.name+" "+string(mode), func(t *testing.T) {
					in := test.packet.frame(t)
					r := d.send(t, FromNetwork, in)
					assert.EqualValues(t, actShot, r.action)
					assert.Equal(t, only(test.reason), r.reasons)
					assert.Equal(t, in, r.frame, "refused before it was touched")
				})
			}
		}
	})
}

// An IP header that claims more than came, or less than itself, is not balanced.
func TestForwardTruncated(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		for _, change := range []int{-1000, -13, 1} { // -13: in the middle of the TCP header
			frame := w.syn(portEcho).frame(t)
			length := frame[16:18]
			if w.vip.Is6() {
				length = frame[18:20]
			}
			binary.BigEndian.PutUint16(length, uint16(max(0, int(binary.BigEndian.Uint16(length))+change)))
			assert.EqualValues(t, xdpPass, d.send(t, FromNetworkXDP, frame).action, "tc counts it")
			r := d.send(t, FromNetwork, frame)
			assert.EqualValues(t, actShot, r.action)
			assert.Equal(t, only("truncated"), r.reasons)
		}
	})
}

func TestNotOurs(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		arp := make([]byte, 60)
		copy(arp, nodeMAC)
		arp[12], arp[13] = 0x08, 0x06
		for name, frame := range map[string][]byte{
			"ARP":           arp,
			"to the node":   packetSpec{src: w.client, dst: w.lbNode, sport: 1, dport: 22, syn: true}.frame(t),
			"past the node": packetSpec{src: w.client, dst: w.pod, sport: 1, dport: 8080, syn: true}.frame(t),
		} {
			t.Run(name, func(t *testing.T) {
				r := d.send(t, FromNetwork, frame)
				assert.EqualValues(t, actOK, r.action)
				assert.Equal(t, only("not-ours"), r.reasons)
				assert.Equal(t, frame, r.frame)
				r = d.send(t, FromNetworkXDP, frame)
				assert.EqualValues(t, xdpPass, r.action)
				assert.Empty(t, r.reasons, "tc counts it")
				assert.Equal(t, frame, r.frame)
			})
		}
	})
}

// The largest request that fits the tunnel passes, the next one does not.
func TestForwardSize(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		ip, tunnel := w.headers()
		largest := packetSpec{src: w.client, dst: w.vip, sport: 1, dport: portEcho, udp: true, payload: 1500 - tunnel - ip - 8}
		r := d.send(t, FromNetwork, largest.frame(t))
		assert.Equal(t, only("to-overlay-dsr"), r.reasons)
		assert.Len(t, r.frame, 14+1500)
		largest.payload++
		assert.Equal(t, only("too-big"), d.send(t, FromNetwork, largest.frame(t)).reasons)
		assert.EqualValues(t, xdpPass, d.send(t, FromNetworkXDP, largest.frame(t)).action, "tc tells the sender")
	})
}

package dataplane

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

func TestForwardDSR(t *testing.T) {
	syn := packetSpec{src: client, dst: vip, sport: 40000, dport: 8080, syn: true, mss: 1460}
	tests := []struct {
		name    string
		before  []packetSpec // packets of the flow that were sent before
		packet  packetSpec
		port    uint16 // of the backend
		option  []byte // expected
		payload int
	}{
		{name: "SYN carries the option", packet: syn, port: 8080, option: dsrOption(vip, 8080)},
		{
			name: "later segments don't", before: []packetSpec{syn},
			packet: packetSpec{src: client, dst: vip, sport: 40000, dport: 8080, ack: true, payload: 100}, port: 8080,
		},
		{
			name:   "a flow that began elsewhere does on every packet",
			before: []packetSpec{{src: client, dst: vip, sport: 40001, dport: 8080, ack: true}},
			packet: packetSpec{src: client, dst: vip, sport: 40001, dport: 8080, ack: true}, port: 8080, option: dsrOption(vip, 8080),
		},
		{
			name:   "UDP does on every packet",
			before: []packetSpec{{src: client, dst: vip, sport: 40000, dport: 8080, udp: true}},
			packet: packetSpec{src: client, dst: vip, sport: 40000, dport: 8080, udp: true, payload: 33}, port: 8080, option: dsrOption(vip, 8080),
		},
		{
			name:   "another target port",
			packet: packetSpec{src: client, dst: vip, sport: 40000, dport: 9090, syn: true}, port: 90, option: dsrOption(vip, 9090),
		},
		{
			name:   "NodePort",
			packet: packetSpec{src: client, dst: lbNode, sport: 40000, dport: 31000, syn: true}, port: 8080, option: dsrOption(lbNode, 31000),
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newNode(t, lbNode, world("lb", services.ModeDSR))
			for _, p := range test.before {
				d.send(t, FromNetwork, p.frame(t))
			}
			in := test.packet.frame(t)
			action, out, reasons := d.send(t, FromNetwork, in)
			assert.EqualValues(t, actRedirect, action)
			assert.Equal(t, map[string]uint64{"to-overlay-dsr": 1}, reasons)
			assert.Len(t, out, len(in)+50+len(test.option), "overhead")

			outer := dissect(t, out)
			assert.Equal(t, podNodeMAC, outer.eth.DstMAC, "the next hop is known")
			assert.Equal(t, nodeMAC, outer.eth.SrcMAC)
			assert.Equal(t, [2]string{lbNode.String(), podNode.String()}, outer.addresses())
			assert.EqualValues(t, 64, outer.ip.TTL)
			assert.Equal(t, "DF", outer.ip.Flags.String())
			assert.EqualValues(t, 6081, outer.udp.DstPort)
			assert.GreaterOrEqual(t, uint16(outer.udp.SrcPort), uint16(49152), "entropy")
			assert.Zero(t, outer.udp.Checksum)
			assert.EqualValues(t, 0x6558, outer.geneve.Protocol)
			assert.EqualValues(t, 2, outer.geneve.VNI)
			assert.Equal(t, test.option != nil, outer.geneve.CriticalOption)
			assert.Equal(t, string(test.option), string(outer.geneve.Contents[8:]), "option")

			require.NotNil(t, outer.inner)
			assert.Equal(t, clientMAC, outer.inner.eth.SrcMAC, "the inner frame keeps its Ethernet header")
			assert.Equal(t, [2]string{client.String(), pod.String()}, outer.inner.addresses())
			assert.EqualValues(t, 63, outer.inner.ip.TTL)
			if test.packet.udp {
				assert.EqualValues(t, test.port, outer.inner.udp.DstPort)
			} else {
				assert.EqualValues(t, test.port, outer.inner.tcp.DstPort)
				assert.Equal(t, test.packet.mss, outer.inner.mss(), "the client's own offer stays")
			}
		})
	}
}

func TestForwardSNAT(t *testing.T) {
	d := newNode(t, lbNode, world("lb", services.ModeSNAT))
	syn := packetSpec{src: client, dst: vip, sport: 40000, dport: 9090, syn: true, mss: 1460}
	action, out, reasons := d.send(t, FromNetwork, syn.frame(t))
	assert.EqualValues(t, actRedirect, action)
	assert.Equal(t, map[string]uint64{"to-overlay-snat": 1}, reasons)
	outer := dissect(t, out)
	assert.False(t, outer.geneve.CriticalOption)
	assert.Equal(t, [2]string{lbNode.String(), podNode.String()}, outer.addresses())
	assert.Equal(t, [2]string{lbNode.String(), pod.String()}, outer.inner.addresses())
	assert.EqualValues(t, 90, outer.inner.tcp.DstPort)
	port := uint16(outer.inner.tcp.SrcPort)
	assert.GreaterOrEqual(t, port, uint16(32768))

	again := packetSpec{src: client, dst: vip, sport: 40000, dport: 9090, ack: true, payload: 10}
	_, out, _ = d.send(t, FromNetwork, again.frame(t))
	assert.EqualValues(t, port, dissect(t, out).inner.tcp.SrcPort, "the flow keeps its port")

	answer := packetSpec{src: pod, dst: lbNode, sport: 90, dport: port, syn: true, ack: true, mss: 1460}
	action, out, reasons = d.send(t, FromNetwork, answer.frame(t))
	assert.EqualValues(t, actRedirect, action)
	assert.Equal(t, map[string]uint64{"reply-from-snat": 1}, reasons)
	back := dissect(t, out)
	assert.Equal(t, [2]string{vip.String(), client.String()}, back.addresses())
	assert.EqualValues(t, 9090, back.tcp.SrcPort)
	assert.EqualValues(t, 40000, back.tcp.DstPort)
	assert.EqualValues(t, 1500-62-40, back.mss(), "clamped")
}

func TestForwardLocal(t *testing.T) {
	for _, mode := range []services.Mode{services.ModeDSR, services.ModeSNAT} {
		t.Run(string(mode), func(t *testing.T) {
			d := newNode(t, lbNode, world("lb", mode))
			syn := packetSpec{src: client, dst: vip, sport: 40000, dport: 7070, syn: true}
			action, out, reasons := d.send(t, FromNetwork, syn.frame(t))
			assert.EqualValues(t, actRedirect, action)
			assert.Equal(t, map[string]uint64{"to-endpoint": 1}, reasons)
			in := dissect(t, out)
			assert.Equal(t, [2]string{client.String(), localPod.String()}, in.addresses())
			assert.Equal(t, podMAC, in.eth.DstMAC)
			assert.Equal(t, vethMAC, in.eth.SrcMAC)

			answer := packetSpec{src: localPod, dst: client, sport: 7070, dport: 40000, syn: true, ack: true}
			_, out, reasons = d.send(t, FromPod, answer.frame(t))
			assert.Equal(t, map[string]uint64{"reply-direct": 1}, reasons)
			assert.Equal(t, [2]string{vip.String(), client.String()}, dissect(t, out).addresses())
		})
	}
}

func TestForwardRefused(t *testing.T) {
	tests := []struct {
		name   string
		packet packetSpec
		reason string
	}{
		{"port without service", packetSpec{src: client, dst: vip, sport: 1, dport: 1, syn: true}, "no-frontend"},
		{"protocol without service", packetSpec{src: client, dst: vip, sport: 1, dport: 9090, udp: true}, "no-frontend"},
		{"no backend", packetSpec{src: client, dst: vip, sport: 1, dport: 6060, syn: true}, "no-backend"},
		{"fragment", packetSpec{src: client, dst: vip, sport: 1, dport: 8080, udp: true, fragment: true}, "fragment"},
		{"IP options", packetSpec{src: client, dst: vip, sport: 1, dport: 8080, syn: true, ipOptions: true}, "ip-options"},
		{"TTL 1", packetSpec{src: client, dst: vip, sport: 1, dport: 8080, syn: true, ttl: 1}, "ttl"},
		{"too big", packetSpec{src: client, dst: vip, sport: 1, dport: 8080, udp: true, payload: 1500 - 62 - 28 + 1}, "too-big"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newNode(t, lbNode, world("lb", services.ModeDSR))
			in := test.packet.frame(t)
			action, out, reasons := d.send(t, FromNetwork, in)
			assert.EqualValues(t, actShot, action)
			assert.Equal(t, map[string]uint64{test.reason: 1}, reasons)
			assert.Equal(t, in, out, "refused before it was touched")
		})
	}
}

func TestNotOurs(t *testing.T) {
	d := newNode(t, lbNode, world("lb", services.ModeDSR))
	arp := make([]byte, 60)
	arp[12], arp[13] = 0x08, 0x06
	for name, frame := range map[string][]byte{
		"ARP":             arp,
		"to the node":     packetSpec{src: client, dst: lbNode, sport: 1, dport: 22, syn: true}.frame(t),
		"past the node":   packetSpec{src: client, dst: pod, sport: 1, dport: 8080, syn: true}.frame(t),
		"largest UDP fit": packetSpec{src: client, dst: pod, sport: 1, dport: 8080, udp: true, payload: 1500 - 62 - 28}.frame(t),
	} {
		t.Run(name, func(t *testing.T) {
			action, out, reasons := d.send(t, FromNetwork, frame)
			assert.EqualValues(t, actOK, action)
			assert.Equal(t, map[string]uint64{"not-ours": 1}, reasons)
			assert.Equal(t, frame, out)
		})
	}
}

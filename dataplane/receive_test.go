package dataplane

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// around is Geneve from LB node to pod node with the given options.
func around(options []byte) *geneveSpec {
	return &geneveSpec{src: lbNode, dst: podNode, vni: 2, protocol: 0x6558, options: options, critical: options != nil}
}

func TestReceiveAndReply(t *testing.T) {
	tests := []struct {
		name          string
		packet        packetSpec
		answer        packetSpec
		answerSource  uint16
		answerCounted string
	}{
		{
			name:   "TCP with option",
			packet: packetSpec{src: client, dst: pod, sport: 40000, dport: 90, syn: true, mss: 1460, geneve: around(dsrOption(vip, 9090))},
			answer: packetSpec{src: pod, dst: client, sport: 90, dport: 40000, syn: true, ack: true, mss: 1460}, answerSource: 9090,
		},
		{
			name:   "UDP with option",
			packet: packetSpec{src: client, dst: pod, sport: 40000, dport: 8080, udp: true, payload: 5, geneve: around(dsrOption(vip, 8080))},
			answer: packetSpec{src: pod, dst: client, sport: 8080, dport: 40000, udp: true, payload: 9}, answerSource: 8080,
		},
		{
			name: "an unknown option that isn't critical comes first",
			packet: packetSpec{src: client, dst: pod, sport: 40000, dport: 8080, syn: true,
				geneve: around(append([]byte{0x12, 0x34, 0x01, 1, 9, 9, 9, 9}, dsrOption(vip, 8080)...))},
			answer: packetSpec{src: pod, dst: client, sport: 8080, dport: 40000, syn: true, ack: true}, answerSource: 8080,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newNode(t, podNode, world("worker", services.ModeDSR))
			action, out, reasons := d.send(t, FromNetwork, test.packet.frame(t))
			assert.EqualValues(t, actRedirect, action)
			assert.Equal(t, map[string]uint64{"from-overlay": 1}, reasons)
			in := dissect(t, out)
			assert.Nil(t, in.geneve)
			assert.Equal(t, [2]string{client.String(), pod.String()}, in.addresses())
			assert.Equal(t, podMAC, in.eth.DstMAC)
			assert.Equal(t, vethMAC, in.eth.SrcMAC)

			action, out, reasons = d.send(t, FromPod, test.answer.frame(t))
			assert.EqualValues(t, actRedirect, action)
			assert.Equal(t, map[string]uint64{"reply-direct": 1}, reasons)
			back := dissect(t, out)
			assert.Equal(t, [2]string{vip.String(), client.String()}, back.addresses())
			assert.EqualValues(t, 63, back.ip.TTL)
			if test.packet.udp {
				assert.EqualValues(t, test.answerSource, back.udp.SrcPort)
				return
			}
			assert.EqualValues(t, test.answerSource, back.tcp.SrcPort)
			if test.answer.mss != 0 {
				assert.EqualValues(t, 1398, back.mss(), "clamped")
			}
		})
	}
}

func TestReceiveFromSNAT(t *testing.T) {
	d := newNode(t, podNode, world("worker", services.ModeSNAT))
	packet := packetSpec{src: lbNode, dst: pod, sport: 40000, dport: 8080, syn: true, geneve: around(nil)}
	action, _, reasons := d.send(t, FromNetwork, packet.frame(t))
	assert.EqualValues(t, actRedirect, action)
	assert.Equal(t, map[string]uint64{"from-overlay": 1}, reasons)

	answer := packetSpec{src: pod, dst: lbNode, sport: 8080, dport: 40000, syn: true, ack: true}
	action, _, reasons = d.send(t, FromPod, answer.frame(t))
	assert.EqualValues(t, actOK, action, "routed to the LB node by the stack")
	assert.Equal(t, map[string]uint64{"not-ours": 1}, reasons)
}

func TestReceiveRefused(t *testing.T) {
	good := packetSpec{src: client, dst: pod, sport: 40000, dport: 8080, syn: true}
	with := func(change func(*packetSpec, *geneveSpec)) packetSpec {
		p, g := good, *around(dsrOption(vip, 8080))
		change(&p, &g)
		p.geneve = &g
		return p
	}
	tests := []struct {
		name   string
		packet packetSpec
		reason string
	}{
		{"sender is no node", with(func(_ *packetSpec, g *geneveSpec) { g.src = client }), "unknown-node"},
		{"sender is this node", with(func(_ *packetSpec, g *geneveSpec) { g.src = podNode }), "unknown-node"},
		{"another VNI", with(func(_ *packetSpec, g *geneveSpec) { g.vni = 3 }), "vni"},
		{"payload is no Ethernet frame", with(func(_ *packetSpec, g *geneveSpec) { g.protocol = 0x0800 }), "geneve"},
		{"option longer than the options", with(func(_ *packetSpec, g *geneveSpec) { g.options = dsrOption(vip, 8080)[:8] }), "geneve"},
		{"option of IPv6 length", with(func(_ *packetSpec, g *geneveSpec) {
			g.options = append([]byte{0x01, 0x4b, 0x81, 5}, make([]byte, 20)...)
		}), "geneve"},
		{"option without address", with(func(_ *packetSpec, g *geneveSpec) {
			g.options = []byte{0x01, 0x4b, 0x81, 2, 0, 0, 0, 0, 0x1f, 0x90, 0, 0}
		}), "geneve"},
		{"option twice", with(func(_ *packetSpec, g *geneveSpec) { g.options = append(dsrOption(vip, 8080), dsrOption(vip, 8080)...) }), "geneve"},
		{"unknown critical option", with(func(_ *packetSpec, g *geneveSpec) { g.options = []byte{0x12, 0x34, 0x80, 0} }), "geneve"},
		{"too many options", with(func(_ *packetSpec, g *geneveSpec) { g.options = make([]byte, 5*4) }), "geneve"},
		{"pod that is no backend on this port", with(func(p *packetSpec, _ *geneveSpec) { p.dport = 22 }), "not-backend"},
		{"no pod of this node", with(func(p *packetSpec, _ *geneveSpec) { p.dst = localPod }), "not-backend"},
		{"client without option", with(func(_ *packetSpec, g *geneveSpec) { g.options = nil }), "no-flow"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newNode(t, podNode, world("worker", services.ModeDSR))
			action, _, reasons := d.send(t, FromNetwork, test.packet.frame(t))
			assert.EqualValues(t, actShot, action)
			assert.Equal(t, map[string]uint64{test.reason: 1}, reasons)
		})
	}
}

func TestPodGeneve(t *testing.T) {
	d := newNode(t, podNode, world("worker", services.ModeDSR))
	forged := packetSpec{src: pod, dst: lbNode, sport: 40000, dport: 6081, udp: true, payload: 60}
	action, _, reasons := d.send(t, FromPod, forged.frame(t))
	assert.EqualValues(t, actShot, action)
	assert.Equal(t, map[string]uint64{"pod-geneve": 1}, reasons)

	elsewhere := packetSpec{src: pod, dst: client, sport: 40000, dport: 6081, udp: true}
	action, _, _ = d.send(t, FromPod, elsewhere.frame(t))
	assert.EqualValues(t, actOK, action)
}

package dataplane

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// A pod calls a service by its ClusterIP, its VIP or a NodePort: its own node translates, both ways.
func TestPodCalls(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		tests := []struct {
			name     string
			frontend netip.Addr
			port     uint16
			udp      bool
			backend  netip.Addr
			target   uint16
		}{
			{"ClusterIP, TCP", w.clusterIP, portCluster, false, w.pod, 8080},
			{"ClusterIP, UDP", w.clusterIP, portCluster, true, w.pod, 8080},
			{"VIP", w.vip, portOther, false, w.pod, 90},
			{"VIP of policy Local: concerns clients outside only", w.vip, portOnlyHere, false, w.pod, 8080},
			{"NodePort", w.lbNode, portNode, false, w.pod, 8080},
		}
		d := w.lb(t, services.ModeDSR)
		for i, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				source := 40000 + uint16(i)
				call := packetSpec{src: w.localPod, dst: test.frontend, sport: source, dport: test.port, syn: !test.udp, udp: test.udp, payload: 4}
				r := d.send(t, FromPod, call.frame(t))
				assert.EqualValues(t, actOK, r.action, "the kernel routes it")
				assert.Equal(t, only("to-network"), r.reasons)
				out := dissect(t, r.frame)
				assert.Equal(t, [2]netip.Addr{w.localPod, test.backend}, out.addresses())
				assert.Equal(t, [2]uint16{source, test.target}, out.ports())
				assert.EqualValues(t, 64, out.ttl(), "which is the kernel's hop")

				answer := packetSpec{src: test.backend, dst: w.localPod, sport: test.target, dport: source, syn: !test.udp, ack: !test.udp, udp: test.udp}
				assert.EqualValues(t, xdpPass, d.send(t, FromNetworkXDP, answer.frame(t)).action, "tc translates answers")
				r = d.send(t, FromNetwork, answer.frame(t))
				assert.EqualValues(t, actOK, r.action, "the kernel routes it, as it has routed the call: a firewall sees both")
				assert.Equal(t, only("not-ours"), r.reasons)
				assert.Equal(t, answer.frame(t), r.frame)
				r = d.sendForwarded(t, ToPod, answer.frame(t))
				assert.EqualValues(t, actOK, r.action)
				assert.Equal(t, only("reply-inside"), r.reasons)
				back := dissect(t, r.frame)
				assert.Equal(t, [2]netip.Addr{test.frontend, w.localPod}, back.addresses())
				assert.Equal(t, [2]uint16{test.port, source}, back.ports())
				assert.EqualValues(t, 64, back.ttl(), "the kernel's hop, too")
			})
		}
	})
}

// Caller and backend are pods of one node.
func TestPodCallsNeighbour(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.worker(t, services.ModeSNAT)
		call := packetSpec{src: w.second, dst: w.clusterIP, sport: 40000, dport: portCluster, syn: true}
		r := d.send(t, FromPod, call.frame(t))
		assert.EqualValues(t, actRedirect, r.action)
		assert.Equal(t, only("to-endpoint"), r.reasons)
		out := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.second, w.pod}, out.addresses())
		assert.EqualValues(t, 63, out.ttl())

		answer := packetSpec{src: w.pod, dst: w.second, sport: 8080, dport: 40000, syn: true, ack: true}
		r = d.send(t, FromPod, answer.frame(t))
		assert.EqualValues(t, actRedirect, r.action)
		assert.Equal(t, only("reply-inside"), r.reasons)
		assert.Equal(t, [2]netip.Addr{w.clusterIP, w.second}, dissect(t, r.frame).addresses())
	})
}

// A pod that calls itself through a service must not see its own address as the client's: its kernel would drop that.
func TestPodCallsItself(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.worker(t, services.ModeDSR)
		call := packetSpec{src: w.pod, dst: w.clusterIP, sport: 40000, dport: portCluster, syn: true}
		r := d.send(t, FromPod, call.frame(t))
		assert.EqualValues(t, actRedirect, r.action)
		assert.Equal(t, only("to-endpoint"), r.reasons)
		out := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.podNode, w.pod}, out.addresses())
		port := out.ports()[0]

		answer := packetSpec{src: w.pod, dst: w.podNode, sport: 8080, dport: port, syn: true, ack: true}
		r = d.send(t, FromPod, answer.frame(t))
		assert.EqualValues(t, actRedirect, r.action)
		assert.Equal(t, only("reply-inside"), r.reasons)
		back := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.clusterIP, w.pod}, back.addresses())
		assert.Equal(t, [2]uint16{portCluster, 40000}, back.ports())
	})
}

// The node itself calls a ClusterIP, with a backend elsewhere and one of its own.
func TestNodeCalls(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		call := packetSpec{src: w.lbNode, dst: w.clusterIP, sport: 40000, dport: portCluster, syn: true}
		r := d.send(t, FromNode, call.frame(t))
		assert.EqualValues(t, actRedirect, r.action)
		assert.Equal(t, only("to-network"), r.reasons)
		assert.Equal(t, [2]netip.Addr{w.lbNode, w.pod}, dissect(t, r.frame).addresses())
		answer := packetSpec{src: w.pod, dst: w.lbNode, sport: 8080, dport: 40000, syn: true, ack: true}
		r = d.send(t, FromNetwork, answer.frame(t))
		assert.EqualValues(t, actOK, r.action, "to the node's own stack")
		assert.Equal(t, only("reply-inside"), r.reasons)
		assert.Equal(t, [2]netip.Addr{w.clusterIP, w.lbNode}, dissect(t, r.frame).addresses())

		call.dport = portLocal
		r = d.send(t, FromNode, call.frame(t))
		assert.Equal(t, only("to-endpoint"), r.reasons)
		in := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.lbNode, w.localPod}, in.addresses())
		assert.Equal(t, podMAC, in.eth.DstMAC)
		answer = packetSpec{src: w.localPod, dst: w.lbNode, sport: portLocal, dport: 40000, syn: true, ack: true}
		r = d.send(t, FromPod, answer.frame(t))
		assert.EqualValues(t, actOK, r.action)
		assert.Equal(t, [2]netip.Addr{w.clusterIP, w.lbNode}, dissect(t, r.frame).addresses())

		other := packetSpec{src: w.lbNode, dst: w.client, sport: 40000, dport: 443, syn: true}
		r = d.send(t, FromNode, other.frame(t))
		assert.EqualValues(t, actOK, r.action)
		assert.Equal(t, other.frame(t), r.frame)
	})
}

// A process of the node calls a NodePort at an address of its own, which goes by lo. The answer bears that address, so it comes in by
// lo, too. lo takes larger packets than what they go on by.
func TestNodeCallsItsNodePort(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		call := packetSpec{src: w.lbNode, dst: w.lbNode, sport: 40000, dport: portNode, syn: true}
		r := d.send(t, FromNode, call.frame(t))
		assert.EqualValues(t, actRedirect, r.action)
		assert.Equal(t, only("to-network"), r.reasons)
		out := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.lbNode, w.pod}, out.addresses())
		assert.EqualValues(t, 64, out.ttl())

		answer := packetSpec{src: w.pod, dst: w.lbNode, sport: 8080, dport: 40000, syn: true, ack: true}
		r = d.send(t, FromNetwork, answer.frame(t))
		assert.EqualValues(t, actRedirect, r.action, "into lo")
		assert.Equal(t, only("reply-inside"), r.reasons)
		back := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.lbNode, w.lbNode}, back.addresses())
		assert.Equal(t, [2]uint16{portNode, 40000}, back.ports())
		assert.Equal(t, net.HardwareAddr(make([]byte, 6)), back.eth.DstMAC, "that of lo")
		assert.EqualValues(t, 64, back.ttl())

		request := packetSpec{src: w.lbNode, dst: w.pod, sport: 40000, dport: 8080, ack: true, payload: 9}
		r = d.send(t, FromNetwork, icmpError(t, w.pod, w.lbNode, 0, request.ip(t)))
		assert.EqualValues(t, actRedirect, r.action, "into lo")
		assert.Equal(t, only("icmp-relayed"), r.reasons)
		refused := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.lbNode, w.lbNode}, refused.addresses())
		assert.Equal(t, net.HardwareAddr(make([]byte, 6)), refused.eth.DstMAC)
		_, quoted := quotedTuple(refused.icmp(t).quoted)
		assert.Equal(t, netip.AddrPortFrom(w.lbNode, portNode), quoted)

		call.syn, call.ack, call.payload = false, true, 1500
		r = d.send(t, FromNode, call.frame(t))
		assert.EqualValues(t, actRedirect, r.action, "ICMP")
		assert.Equal(t, only("too-big"), r.reasons)
		assert.Equal(t, [2]netip.Addr{w.lbNode, w.lbNode}, dissect(t, r.frame).addresses())
	})
}

// A process of the node is the backend of a ClusterIP, and a pod of the same node calls it: the answer passes no device but the
// pod's veth, and what is no such answer passes as it is.
func TestNodeAnswersItsPod(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		const port, nodePort = 4443, 6443
		tables := &services.Tables{
			Frontends: []services.Frontend{{
				Address: w.clusterIP, Port: port, Protocol: services.TCP, Kind: services.KindClusterIP, Service: "default/kubernetes",
				Mode: services.ModeSNAT, Backends: []int{0},
			}},
			Backends: []services.Backend{{Address: w.lbNode, Port: nodePort, Protocol: services.TCP, Node: "lb", NodeAddress: w.lbNode, Weight: 1}},
		}
		_, err := d.Update("default/kubernetes", tables)
		require.NoError(t, err)

		call := packetSpec{src: w.localPod, dst: w.clusterIP, sport: 40000, dport: port, syn: true}
		r := d.send(t, FromPod, call.frame(t))
		assert.EqualValues(t, actOK, r.action, "to the node's own stack")
		assert.Equal(t, only("to-network"), r.reasons)
		assert.Equal(t, [2]netip.Addr{w.localPod, w.lbNode}, dissect(t, r.frame).addresses())

		answer := packetSpec{src: w.lbNode, dst: w.localPod, sport: nodePort, dport: 40000, syn: true, ack: true}
		r = d.send(t, ToPod, answer.frame(t))
		assert.EqualValues(t, actOK, r.action)
		assert.Equal(t, only("reply-inside"), r.reasons)
		back := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.clusterIP, w.localPod}, back.addresses())
		assert.Equal(t, [2]uint16{port, 40000}, back.ports())

		probe := packetSpec{src: w.lbNode, dst: w.localPod, sport: 50000, dport: 8080, syn: true}
		r = d.send(t, ToPod, probe.frame(t))
		assert.EqualValues(t, actOK, r.action)
		assert.Equal(t, probe.frame(t), r.frame, "what is no such answer stays as it is")
	})
}

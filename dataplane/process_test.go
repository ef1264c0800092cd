package dataplane

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// Ports of the service whose only backend is a process of a node.
const (
	portProcess = 443
	portListens = 6443
)

// process gives a node a service whose backend is a process of the named node.
func (w world) process(t *testing.T, d *DataPath, mode services.Mode, node string, address, tunnel netip.Addr) {
	t.Helper()
	frontend := func(address netip.Addr, kind services.Kind, name string) services.Frontend {
		return services.Frontend{
			Address: address, Port: portProcess, Protocol: services.TCP, Kind: kind, Service: "default/process", PortName: name,
			Mode: mode, Backends: []int{0},
		}
	}
	_, err := d.Update("default/process", &services.Tables{
		Frontends: []services.Frontend{
			frontend(w.vip, services.KindLoadBalancer, "vip"), frontend(w.clusterIP, services.KindClusterIP, "inside"),
			frontend(address, services.KindNodePort, "node"),
		},
		Backends: []services.Backend{{
			Address: address, Port: portListens, Protocol: services.TCP, Node: node, NodeAddress: tunnel, Weight: 1,
		}},
	})
	require.NoError(t, err)
}

// A client outside calls a service whose backend is a process of the LB node itself, in either mode: it sees the client, and its
// answer bears the frontend.
func TestProcessOfLBNode(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		for _, mode := range []services.Mode{services.ModeDSR, services.ModeSNAT} {
			t.Run(string(mode), func(t *testing.T) {
				d := w.lb(t, mode)
				w.process(t, d, mode, "lb", w.lbNode, w.lbTunnel)
				call := w.syn(portProcess)
				r := d.send(t, FromNetworkXDP, call.frame(t))
				assert.EqualValues(t, xdpPass, r.action)
				assert.Equal(t, call.frame(t), r.frame)
				assert.Empty(t, r.reasons, "tc counts it")
				for range 2 {
					r = d.send(t, FromNetwork, call.frame(t))
					assert.EqualValues(t, actOK, r.action, "to the node's own stack")
					assert.Equal(t, only("to-endpoint"), r.reasons)
					in := dissect(t, r.frame)
					assert.Equal(t, [2]netip.Addr{w.client, w.lbNode}, in.addresses())
					assert.Equal(t, [2]uint16{40000, portListens}, in.ports())
					call.syn, call.ack = false, true
				}
				w.assertAnswers(t, d, w.lbNode)
			})
		}
	})
}

// assertAnswers sends the answer of a process of the node to the client.
func (w world) assertAnswers(t *testing.T, d *DataPath, node netip.Addr) {
	t.Helper()
	answer := packetSpec{src: node, dst: w.client, sport: portListens, dport: 40000, syn: true, ack: true, mss: 1460}
	r := d.send(t, FromNode, answer.frame(t))
	assert.EqualValues(t, actOK, r.action, "the kernel sends it")
	assert.Equal(t, only("reply-direct"), r.reasons)
	out := dissect(t, r.frame)
	assert.Equal(t, [2]netip.Addr{w.vip, w.client}, out.addresses())
	assert.Equal(t, [2]uint16{portProcess, 40000}, out.ports())
	assert.EqualValues(t, 64, out.ttl())
	assert.Less(t, out.mss(), uint16(1460), "so that requests fit the tunnel")
}

// The same process, called past the service: nothing is translated, either way.
func TestProcessCalledDirectly(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		w.process(t, d, services.ModeDSR, "lb", w.lbNode, w.lbTunnel)
		call := packetSpec{src: w.client, dst: w.lbNode, sport: 40001, dport: portListens, syn: true}
		r := d.send(t, FromNetwork, call.frame(t))
		assert.EqualValues(t, actOK, r.action)
		assert.Equal(t, call.frame(t), r.frame)
		answer := packetSpec{src: w.lbNode, dst: w.client, sport: portListens, dport: 40001, syn: true, ack: true}
		r = d.send(t, FromNode, answer.frame(t))
		assert.EqualValues(t, actOK, r.action)
		assert.Equal(t, answer.frame(t), r.frame)

		// The client's port is used again, for the service and then past it: the last call decides.
		for _, packet := range []packetSpec{
			w.syn(portProcess), {src: w.client, dst: w.vip, sport: 40000, dport: portProcess, fin: true, ack: true},
		} {
			require.Equal(t, only("to-endpoint"), d.send(t, FromNetwork, packet.frame(t)).reasons)
		}
		last := packetSpec{src: w.lbNode, dst: w.client, sport: portListens, dport: 40000, fin: true, ack: true}
		require.Equal(t, only("reply-direct"), d.send(t, FromNode, last.frame(t)).reasons)
		call.sport, answer.dport = 40000, 40000
		d.send(t, FromNetwork, call.frame(t))
		assert.Equal(t, answer.frame(t), d.send(t, FromNode, answer.frame(t)).frame)
	})
}

// Another node's process is the backend: Geneve leads to its node, which takes the tunnel off and lets the packet in once more, as
// what it is now.
func TestProcessOfPodNode(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		lb := w.lb(t, services.ModeDSR)
		w.process(t, lb, services.ModeDSR, "worker", w.podNode, w.podTunnel)
		r := lb.send(t, FromNetwork, w.syn(portProcess).frame(t))
		assert.Equal(t, only("to-overlay-dsr"), r.reasons)
		assert.Equal(t, [2]netip.Addr{w.client, w.podNode}, dissect(t, r.frame).inner.addresses())

		d := w.worker(t, services.ModeDSR)
		w.process(t, d, services.ModeDSR, "worker", w.podNode, w.podTunnel)
		xdp := d.send(t, FromNetworkXDP, r.frame)
		assert.EqualValues(t, xdpPass, xdp.action)
		assert.Equal(t, r.frame[12:], xdp.frame[12:])
		in := d.send(t, FromNetwork, r.frame)
		assert.EqualValues(t, actRedirect, in.action)
		assert.Equal(t, only("from-overlay"), in.reasons)
		out := dissect(t, in.frame)
		assert.Nil(t, out.geneve)
		assert.Equal(t, [2]netip.Addr{w.client, w.podNode}, out.addresses())
		assert.Equal(t, nodeMAC, out.eth.DstMAC, "that of the device")
		w.assertAnswers(t, d, w.podNode)

		snat := packetSpec{src: w.lbNode, dst: w.podNode, sport: 50000, dport: portListens, syn: true, geneve: w.around(nil)}
		in = d.send(t, FromNetwork, snat.frame(t))
		assert.Equal(t, only("from-overlay"), in.reasons)
		answer := packetSpec{src: w.podNode, dst: w.lbNode, sport: portListens, dport: 50000, syn: true, ack: true}
		assert.Equal(t, answer.frame(t), d.send(t, FromNode, answer.frame(t)).frame, "the LB node translates it")

		other := packetSpec{src: w.client, dst: w.podNode, sport: 40000, dport: 22, syn: true, geneve: w.around(dsrOption(w.vip, portProcess))}
		assert.Equal(t, only("not-backend"), d.send(t, FromNetwork, other.frame(t)).reasons, "no other port is open to Geneve")
	})
}

// A process of a node calls a service whose backend is a process of the same node. Nothing may come in with the node's own address as
// source, so each sees the other under the frontend's.
func TestProcessCallsItsNode(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		w.process(t, d, services.ModeDSR, "lb", w.lbNode, w.lbTunnel)
		call := packetSpec{src: w.lbNode, dst: w.clusterIP, sport: 40000, dport: portProcess, syn: true}
		r := d.send(t, FromNode, call.frame(t))
		assert.EqualValues(t, actRedirect, r.action)
		assert.Equal(t, only("to-endpoint"), r.reasons)
		in := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.clusterIP, w.lbNode}, in.addresses())
		assert.Equal(t, [2]uint16{40000, portListens}, in.ports())
		assert.Equal(t, nodeMAC, in.eth.DstMAC)
		assert.EqualValues(t, 64, in.ttl())

		answer := packetSpec{src: w.lbNode, dst: w.clusterIP, sport: portListens, dport: 40000, syn: true, ack: true}
		r = d.send(t, FromNode, answer.frame(t))
		assert.EqualValues(t, actRedirect, r.action)
		assert.Equal(t, only("reply-inside"), r.reasons)
		back := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.clusterIP, w.lbNode}, back.addresses())
		assert.Equal(t, [2]uint16{portProcess, 40000}, back.ports())
		assert.Equal(t, nodeMAC, back.eth.DstMAC)
	})
}

// Likewise, but by the NodePort at the node's own address: both ways it stays on lo, and each sees the node.
func TestProcessCallsItsNodePort(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		w.process(t, d, services.ModeDSR, "lb", w.lbNode, w.lbTunnel)
		call := packetSpec{src: w.lbNode, dst: w.lbNode, sport: 40000, dport: portProcess, syn: true}
		r := d.send(t, FromNode, call.frame(t))
		assert.EqualValues(t, actOK, r.action)
		assert.Equal(t, only("to-endpoint"), r.reasons)
		in := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.lbNode, w.lbNode}, in.addresses())
		assert.Equal(t, [2]uint16{40000, portListens}, in.ports())

		answer := packetSpec{src: w.lbNode, dst: w.lbNode, sport: portListens, dport: 40000, syn: true, ack: true}
		r = d.send(t, FromNode, answer.frame(t))
		assert.EqualValues(t, actOK, r.action)
		assert.Equal(t, only("reply-inside"), r.reasons)
		back := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.lbNode, w.lbNode}, back.addresses())
		assert.Equal(t, [2]uint16{portProcess, 40000}, back.ports())
	})
}

// datagrams gives a node a UDP service whose backend is a process of it.
func (w world) datagrams(t *testing.T, d *DataPath) {
	t.Helper()
	tables := &services.Tables{Backends: []services.Backend{{
		Address: w.lbNode, Port: portListens, Protocol: services.UDP, Node: "lb", NodeAddress: w.lbTunnel, Weight: 1,
	}}}
	for _, f := range []services.Frontend{
		{Address: w.vip, Kind: services.KindLoadBalancer, PortName: "vip"}, {Address: w.clusterIP, Kind: services.KindClusterIP, PortName: "inside"},
	} {
		f.Port, f.Protocol, f.Service, f.Mode, f.Backends = portProcess, services.UDP, "default/datagrams", services.ModeDSR, []int{0}
		tables.Frontends = append(tables.Frontends, f)
	}
	_, err := d.Update("default/datagrams", tables)
	require.NoError(t, err)
}

// Nothing listens where a service leads to on the node itself: the client hears it from the frontend, be it outside, a pod, or a
// process of the node.
func TestProcessRefuses(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		w.datagrams(t, d)
		tests := []struct {
			name             string
			request          packetSpec
			in, out          Direction
			frontend, client netip.Addr // as the client has them
			action           uint32
		}{
			{"client outside", packetSpec{src: w.client, dst: w.vip}, FromNetwork, FromNode, w.vip, w.client, actOK},
			{"pod of the node", packetSpec{src: w.localPod, dst: w.clusterIP}, FromPod, ToPod, w.clusterIP, w.localPod, actOK},
			{"process of the node", packetSpec{src: w.lbNode, dst: w.clusterIP}, FromNode, FromNode, w.clusterIP, w.lbNode, actRedirect},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				test.request.sport, test.request.dport, test.request.udp, test.request.payload = 40000, portProcess, true, 20
				r := d.send(t, test.in, test.request.frame(t))
				request := dissect(t, r.frame)
				require.Equal(t, uint16(portListens), request.ports()[1])
				asked := request.addresses()
				refusal := icmpError(t, asked[1], asked[0], 0, r.frame[14:])
				r = d.send(t, test.out, refusal)
				assert.EqualValues(t, test.action, r.action)
				assert.Equal(t, only("icmp-relayed"), r.reasons)
				out := dissect(t, r.frame)
				assert.Equal(t, [2]netip.Addr{test.frontend, test.client}, out.addresses())
				src, dst := quotedTuple(out.icmp(t).quoted)
				assert.Equal(t, netip.AddrPortFrom(test.client, 40000), src)
				assert.Equal(t, netip.AddrPortFrom(test.frontend, portProcess), dst)
				checkQuotedHeader(t, out.icmp(t).quoted)
			})
		}
	})
}

// A process that listens on all addresses may reply from another one than it was called at: the kernel takes that of the device by which
// the client is reached.
func TestProcessRepliesFromAnotherAddress(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		w.datagrams(t, d)
		another := netip.MustParseAddr(map[bool]string{true: "10.0.0.1", false: "fd00:a:0::1"}[w.vip.Is4()])
		for _, test := range []struct {
			request packetSpec
			in, out Direction
			reason  string
		}{
			{packetSpec{src: w.localPod, dst: w.clusterIP}, FromPod, ToPod, "reply-inside"},
			{packetSpec{src: w.client, dst: w.vip}, FromNetwork, FromNode, "reply-direct"},
		} {
			test.request.sport, test.request.dport, test.request.udp = 40000, portProcess, true
			d.send(t, test.in, test.request.frame(t))
			reply := packetSpec{src: another, dst: test.request.src, sport: portListens, dport: 40000, udp: true, payload: 4}
			r := d.send(t, test.out, reply.frame(t))
			assert.EqualValues(t, actOK, r.action)
			assert.Equal(t, only(test.reason), r.reasons)
			out := dissect(t, r.frame)
			assert.Equal(t, [2]netip.Addr{test.request.dst, test.request.src}, out.addresses())
			assert.Equal(t, [2]uint16{portProcess, 40000}, out.ports())
		}
	})
}

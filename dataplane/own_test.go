package dataplane

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// What the node itself begins from a port that is a NodePort gets its reply, also when it is a pod's that is masqueraded; the service
// sees nothing of it. What a client begins is for the service.
func TestNodePortAsSource(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		for name, leave := range map[string]func(*DataPath, []byte) result{
			"of the node": func(d *DataPath, frame []byte) result { return d.send(t, FromNode, frame) },
			"of a pod":    func(d *DataPath, frame []byte) result { return d.sendForwarded(t, FromNode, frame) },
		} {
			t.Run(name, func(t *testing.T) {
				d := w.lb(t, services.ModeDSR)
				call := packetSpec{src: w.lbNode, dst: w.client, sport: portNode, dport: 8080, syn: true}
				assert.EqualValues(t, actOK, leave(d, call.frame(t)).action)
				reply := packetSpec{src: w.client, dst: w.lbNode, sport: 8080, dport: portNode, syn: true, ack: true}
				for range 2 {
					assert.EqualValues(t, xdpPass, d.send(t, FromNetworkXDP, reply.frame(t)).action)
					r := d.send(t, FromNetwork, reply.frame(t))
					assert.EqualValues(t, actOK, r.action)
					assert.Equal(t, only("not-ours"), r.reasons)
					assert.Equal(t, reply.frame(t), r.frame)
					reply.syn = false
				}
				counters, err := d.ServiceCounters()
				require.NoError(t, err)
				for _, c := range counters {
					assert.Zero(t, c.Requests.Packets, c.Service)
				}

				reply.syn, reply.ack = true, false
				assert.Equal(t, only("to-overlay-dsr"), d.send(t, FromNetwork, reply.frame(t)).reasons, "the peer begins a connection")
				reply.syn, reply.ack = false, true
				assert.Equal(t, only("to-overlay-dsr"), d.send(t, FromNetwork, reply.frame(t)).reasons)
			})
		}
	})
}

// A reply of a flow of ours that leaves with the NodePort as its source begins nothing.
func TestNodePortReplies(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		request := packetSpec{src: w.client, dst: w.lbNode, sport: 40000, dport: portNode, syn: true}
		require.Equal(t, only("to-overlay-dsr"), d.send(t, FromNetwork, request.frame(t)).reasons)
		reply := packetSpec{src: w.lbNode, dst: w.client, sport: portNode, dport: 40000, syn: true, ack: true}
		d.sendForwarded(t, FromNode, reply.frame(t))
		request.syn, request.ack = false, true
		assert.Equal(t, only("to-overlay-dsr"), d.send(t, FromNetwork, request.frame(t)).reasons)
	})
}

// A client that the kernel leads to a pod by another way, as by a hostPort, gets the pod's reply as the kernel has it.
func TestPodCalledPastService(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.worker(t, services.ModeDSR)
		request := packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, syn: true}
		reply := packetSpec{src: w.pod, dst: w.client, sport: 8080, dport: 40000, syn: true, ack: true}
		assert.Equal(t, only("leak"), d.send(t, FromPod, reply.frame(t)).reasons, "nobody has called")
		for range 2 {
			r := d.sendForwarded(t, ToPod, request.frame(t))
			assert.EqualValues(t, actOK, r.action)
			assert.Equal(t, request.frame(t), r.frame)
			r = d.send(t, FromPod, reply.frame(t))
			assert.EqualValues(t, actOK, r.action)
			assert.Equal(t, only("not-ours"), r.reasons)
			assert.Equal(t, reply.frame(t), r.frame)
			request.syn, request.ack, reply.syn = false, true, false
		}
		refused := icmpError(t, w.pod, w.client, 0, request.ip(t))
		assert.Equal(t, only("not-ours"), d.send(t, FromPod, refused).reasons, "an ICMP error about it likewise")
	})
}

// A request out of a tunnel of another family is delivered through the pod's device, and passes its program.
func TestDeliveredThroughDevice(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.worker(t, services.ModeDSR)
		request := packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, syn: true, geneve: w.around(dsrOption(w.vip, portEcho))}
		for range 2 {
			require.Equal(t, only("from-overlay"), d.send(t, FromNetwork, request.frame(t)).reasons)
			inner := request
			inner.geneve = nil
			r := d.sendForwarded(t, ToPod, inner.frame(t))
			assert.EqualValues(t, actOK, r.action)
			assert.Empty(t, r.reasons)
			reply := packetSpec{src: w.pod, dst: w.client, sport: 8080, dport: 40000, syn: true, ack: true}
			assert.Equal(t, only("reply-direct"), d.send(t, FromPod, reply.frame(t)).reasons)
			request.syn, request.ack = false, true
		}
	})
}

// A pod that speaks first from the port that it serves is heard, over TCP and UDP.
func TestBackendSpeaksFirst(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.worker(t, services.ModeDSR)
		for _, first := range []packetSpec{
			{src: w.pod, dst: w.client, sport: 8080, dport: 5060, udp: true, payload: 9},
			{src: w.pod, dst: w.client, sport: 8080, dport: 443, syn: true},
		} {
			r := d.send(t, FromPod, first.frame(t))
			assert.EqualValues(t, actOK, r.action)
			assert.Equal(t, only("not-ours"), r.reasons)
		}
		d.sendForwarded(t, ToPod, packetSpec{src: w.client, dst: w.pod, sport: 443, dport: 8080, syn: true, ack: true}.frame(t))
		next := packetSpec{src: w.pod, dst: w.client, sport: 8080, dport: 443, ack: true}
		assert.Equal(t, only("not-ours"), d.send(t, FromPod, next.frame(t)).reasons, "the connection goes on")
	})
}

// A pod that calls this node from the port that it serves, at a port that a flow of SNAT has, is no reply of that flow.
func TestBackendCallsSNATPort(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeSNAT)
		r := d.send(t, FromNetwork, w.syn(portOther).frame(t))
		require.Equal(t, only("to-overlay-snat"), r.reasons)
		call := packetSpec{src: w.pod, dst: w.lbNode, sport: 90, dport: dissect(t, r.frame).inner.ports()[0], syn: true}
		assert.Equal(t, only("not-ours"), d.send(t, FromNetwork, call.frame(t)).reasons)
		call.ack = true
		assert.Equal(t, only("reply-from-snat"), d.send(t, FromNetwork, call.frame(t)).reasons)
	})
}

// A frame to another Ethernet address, or of a VLAN, is none of the node's. An 802.1Q tag with identifier 0 is only a priority; in a
// test run it stays in the frame, so that neither hook takes it: TestTaggedFrames has it for real.
func TestFramesOfOthers(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		other := w.syn(portEcho).frame(t)
		copy(other, mac("02:00:00:00:00:77"))
		tagged := w.syn(portEcho).frame(t)
		tagged = append(tagged[:12:12], append([]byte{0x81, 0x00, 0x00, 0x0a}, tagged[12:]...)...)
		for name, frame := range map[string][]byte{"another address": other, "VLAN 10": tagged} {
			t.Run(name, func(t *testing.T) {
				r := d.run(t, FromNetwork, frame, nil)
				assert.EqualValues(t, actOK, r.action)
				assert.Equal(t, only("not-ours"), r.reasons)
				assert.Equal(t, frame, r.frame)
				r = d.run(t, FromNetworkXDP, frame, nil)
				assert.EqualValues(t, xdpPass, r.action)
				assert.Empty(t, r.reasons)
			})
		}
	})
}

// No flow begins at a frontend, where each reply would be the next request, nor at an address that no host has.
func TestSourceOfNewFlow(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		tests := map[string]packetSpec{
			"from-frontend": {src: w.vip, dst: w.vip, sport: portEcho, dport: portEcho, udp: true, payload: 1},
		}
		martians := []string{"127.0.0.1", "224.0.0.1", "0.0.0.0", "255.255.255.255"}
		if w.vip.Is6() {
			martians = []string{"::1", "ff02::1", "::"}
		}
		d := w.lb(t, services.ModeDSR)
		for reason, packet := range tests {
			r := d.send(t, FromNetwork, packet.frame(t))
			assert.EqualValues(t, actShot, r.action)
			assert.Equal(t, only(reason), r.reasons)
			assert.EqualValues(t, xdpDrop, d.send(t, FromNetworkXDP, packet.frame(t)).action)
		}
		for _, text := range martians {
			packet := packetSpec{src: netip.MustParseAddr(text), dst: w.vip, sport: 1, dport: portEcho, udp: true, payload: 1}
			r := d.send(t, FromNetwork, packet.frame(t))
			assert.EqualValues(t, actShot, r.action)
			assert.Equal(t, only("martian"), r.reasons, text)
		}
		nodePort := packetSpec{src: w.lbNode, dst: w.vip, sport: portNode, dport: portEcho, syn: true}
		assert.Equal(t, only("from-frontend"), d.send(t, FromNetwork, nodePort.frame(t)).reasons)
	})
}

// A pod speaks for itself only: not in a flow of another pod, and no new flow begins in another pod's name.
func TestPodInAnothersName(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		state := w.state("worker", services.ModeDSR)
		state.Pods[0].Device = 7 // w.pod; what a test runs comes from podDevice
		d := w.worker(t, services.ModeDSR)
		_, err := d.Apply(state)
		require.NoError(t, err)
		request := packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, syn: true, geneve: w.around(dsrOption(w.vip, portEcho))}
		require.Equal(t, only("from-overlay"), d.send(t, FromNetwork, request.frame(t)).reasons)
		for _, forged := range []packetSpec{
			{src: w.pod, dst: w.client, sport: 8080, dport: 40000, syn: true, ack: true},
			{src: w.pod, dst: w.clusterIP, sport: 50000, dport: portCluster, syn: true},
		} {
			r := d.send(t, FromPod, forged.frame(t))
			assert.EqualValues(t, actShot, r.action)
			assert.Equal(t, only("spoofed"), r.reasons)
		}
		own := packetSpec{src: w.second, dst: w.clusterIP, sport: 50000, dport: portCluster, syn: true}
		assert.NotContains(t, d.send(t, FromPod, own.frame(t)).reasons, "spoofed")
	})
}

package dataplane

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// A pod node that has lost the frontend of a running flow asks the LB node, which believes that the flow began with it; from then on
// its packets carry the option, and the flow goes on.
func TestOptionIsRequested(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		for hook, actions := range map[Direction][2]uint32{FromNetwork: {actRedirect, actShot}, FromNetworkXDP: {xdpTX, xdpDrop}} {
			t.Run(string(hook), func(t *testing.T) {
				lb, worker := w.lb(t, services.ModeDSR), w.worker(t, services.ModeDSR)
				packet := w.syn(portOther)
				forward := func(reason string) result {
					out := lb.send(t, hook, packet.frame(t))
					require.Equal(t, only("to-overlay-dsr"), out.reasons)
					in := worker.send(t, hook, out.frame)
					require.Equal(t, only(reason), in.reasons)
					return in
				}
				forward("from-overlay")
				packet.syn, packet.ack = false, true
				forward("from-overlay")
				emptyMap(t, worker.objects.Replies)
				emptyMap(t, worker.objects.RepliesUnconfirmed)

				request := forward("no-flow")
				assert.EqualValues(t, actions[0], request.action)
				outer := dissect(t, request.frame)
				require.NotNil(t, outer.geneve)
				assert.True(t, outer.geneve.OAMPacket, "the O bit: not to be forwarded")
				assert.Equal(t, [2]netip.Addr{w.podTunnel, w.lbTunnel}, outer.addresses())
				r := lb.send(t, hook, request.frame)
				assert.EqualValues(t, actions[1], r.action)
				assert.Equal(t, only("option-requested"), r.reasons)

				forward("from-overlay")
				reply := packetSpec{src: w.pod, dst: w.client, sport: 90, dport: 40000, ack: true}
				back := dissect(t, worker.send(t, FromPod, reply.frame(t)).frame)
				assert.Equal(t, [2]netip.Addr{w.vip, w.client}, back.addresses())
			})
		}
	})
}

// A request counts from a node only.
func TestOptionIsRequestedByNodesOnly(t *testing.T) {
	w := worlds()[0]
	lb := w.lb(t, services.ModeDSR)
	forged := geneveSpec{src: w.other, dst: w.lbTunnel, vni: 2, protocol: 0x6558, control: true}
	assert.Equal(t, only("unknown-node"), lb.send(t, FromNetwork, forged.wrap(t, w.syn(portEcho).frame(t))).reasons)
	var until uint64
	require.NoError(t, lb.objects.OptionRequested.Lookup(uint32(0), &until))
	assert.Zero(t, until)
}

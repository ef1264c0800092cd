package dataplane

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// A backend that is neither pod nor node, such as a database outside of the cluster: a client outside reaches it with the LB node's
// address, whatever the mode, and without a tunnel; a pod's call goes through the kernel, which masquerades it.
func TestBackendOutside(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		tables := &services.Tables{Backends: []services.Backend{{Address: w.other, Port: 5432, Protocol: services.TCP, Weight: 1}}}
		for _, f := range []services.Frontend{
			{Address: w.vip, Kind: services.KindLoadBalancer, PortName: "vip"}, {Address: w.clusterIP, Kind: services.KindClusterIP, PortName: "inside"},
		} {
			f.Port, f.Protocol, f.Service, f.Mode, f.Backends = 5432, services.TCP, "default/db", services.ModeDSR, []int{0}
			tables.Frontends = append(tables.Frontends, f)
		}
		_, err := d.Update("default/db", tables)
		require.NoError(t, err)

		call := packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: 5432, syn: true}
		assert.EqualValues(t, xdpPass, d.send(t, FromNetworkXDP, call.frame(t)).action, "tc asks the kernel for the way")
		r := d.send(t, FromNetwork, call.frame(t))
		assert.EqualValues(t, actRedirect, r.action)
		assert.Equal(t, only("to-network"), r.reasons)
		out := dissect(t, r.frame)
		assert.Nil(t, out.geneve)
		assert.Equal(t, [2]netip.Addr{w.lbNode, w.other}, out.addresses())
		assert.EqualValues(t, 63, out.ttl())
		reply := packetSpec{src: w.other, dst: w.lbNode, sport: 5432, dport: out.ports()[0], syn: true, ack: true}
		r = d.send(t, FromNetwork, reply.frame(t))
		assert.Equal(t, only("reply-from-snat"), r.reasons)
		back := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.vip, w.client}, back.addresses())
		assert.Equal(t, [2]uint16{5432, 40000}, back.ports())

		call = packetSpec{src: w.localPod, dst: w.clusterIP, sport: 40000, dport: 5432, syn: true}
		r = d.send(t, FromPod, call.frame(t))
		assert.EqualValues(t, actOK, r.action)
		assert.Equal(t, [2]netip.Addr{w.localPod, w.other}, dissect(t, r.frame).addresses())
		reply = packetSpec{src: w.other, dst: w.localPod, sport: 5432, dport: 40000, syn: true, ack: true}
		r = d.sendForwarded(t, ToPod, reply.frame(t))
		assert.Equal(t, only("reply-inside"), r.reasons)
		assert.Equal(t, [2]netip.Addr{w.clusterIP, w.localPod}, dissect(t, r.frame).addresses())
	})
}

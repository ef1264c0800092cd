package dataplane

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// An externalIP takes its one port from the address, which may be a host's or a node's: what is for others reaches that host, from pods
// and from outside, by TCP and UDP. At a VIP, which no host has, it is dropped.
func TestExternalIPOfHost(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		host, node := w.vip.Next(), w.podNode
		tables := &services.Tables{
			Backends: []services.Backend{{Address: w.pod, Port: 8080, Protocol: services.TCP, Node: "worker", NodeAddress: w.podTunnel, Weight: 1}},
			Frontends: []services.Frontend{{
				Address: node, Port: 81, Protocol: services.TCP, Kind: services.KindExternalIP, Service: "default/external", Mode: services.ModeDSR,
				Backends: []int{0},
			}},
		}
		_, err := d.Update("default/external", tables)
		require.NoError(t, err)
		for _, udp := range []bool{false, true} {
			for name, address := range map[string]netip.Addr{"a host's": host, "a node's": node} {
				call := packetSpec{src: w.localPod, dst: address, sport: 40000, dport: 10250, syn: !udp, udp: udp}
				r := d.send(t, FromPod, call.frame(t))
				assert.EqualValues(t, actOK, r.action, name)
				assert.Equal(t, call.frame(t), r.frame, name)
				assert.NotContains(t, r.reasons, "no-frontend", name)
				call.src = w.client
				r = d.send(t, FromNetwork, call.frame(t))
				assert.EqualValues(t, actOK, r.action, name)
				assert.NotContains(t, r.reasons, "no-frontend", name)
			}
			call := packetSpec{src: w.localPod, dst: w.vip, sport: 40000, dport: 10250, syn: !udp, udp: udp}
			assert.Equal(t, only("no-frontend"), d.send(t, FromPod, call.frame(t)).reasons)
		}
		call := packetSpec{src: w.localPod, dst: node, sport: 40001, dport: 81, syn: true}
		out := dissect(t, d.send(t, FromPod, call.frame(t)).frame)
		assert.Equal(t, [2]netip.Addr{w.localPod, w.pod}, out.addresses(), "the one port is the service's")
	})
}

// Source ranges hold at externalIPs and NodePorts, too.
func TestSourceRangesEverywhere(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		tables := &services.Tables{
			Backends: []services.Backend{{Address: w.pod, Port: 8080, Protocol: services.TCP, Node: "worker", NodeAddress: w.podTunnel, Weight: 1}},
		}
		addresses := map[services.Kind]netip.Addr{services.KindExternalIP: w.vip.Next(), services.KindNodePort: w.lbNode, services.KindLoadBalancer: w.vip}
		for kind, address := range addresses {
			tables.Frontends = append(tables.Frontends, services.Frontend{
				Address: address, Port: 81, Protocol: services.TCP, Kind: kind, Service: "default/shop", Mode: services.ModeDSR, Node: "lb",
				Backends: []int{0}, SourceRanges: []netip.Prefix{netip.PrefixFrom(w.client, w.client.BitLen())},
			})
		}
		_, err := d.Update("default/shop", tables)
		require.NoError(t, err)
		for kind, address := range addresses {
			call := packetSpec{src: w.other, dst: address, sport: 40000, dport: 81, syn: true}
			assert.Equal(t, only("source-range"), d.send(t, FromNetwork, call.frame(t)).reasons, kind)
			call.src = w.client
			call.sport += uint16(len(kind)) // no address and port has two frontends
			assert.Equal(t, only("to-overlay-dsr"), d.send(t, FromNetwork, call.frame(t)).reasons, kind)
		}
	})
}

// Another node's NodePort with policy Local is reached by the network, not short-circuited.
func TestNodePortElsewhere(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		for _, local := range []bool{true, false} {
			tables := &services.Tables{
				Backends: []services.Backend{{Address: w.pod, Port: 8080, Protocol: services.TCP, Node: "worker", NodeAddress: w.podTunnel, Weight: 1}},
				Frontends: []services.Frontend{{
					Address: w.podNode, Port: 31001, Protocol: services.TCP, Kind: services.KindNodePort, Service: "default/near", Mode: services.ModeDSR,
					Node: "worker", LocalOnly: local, Backends: []int{0},
				}},
			}
			_, err := d.Update("default/near", tables)
			require.NoError(t, err)
			call := packetSpec{src: w.localPod, dst: w.podNode, sport: 40000, dport: 31001, syn: true}
			to := dissect(t, d.send(t, FromPod, call.frame(t)).frame).addresses()[1]
			assert.Equal(t, map[bool]netip.Addr{true: w.podNode, false: w.pod}[local], to, "Local: %v", local)
		}
	})
}

package dataplane

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// echoRequest is an ICMP echo request as ping sends it.
func echoRequest(t testing.TB, from, to netip.Addr) []byte {
	data := gopacket.Payload("0123456789")
	if from.Is4() {
		ip := &layers.IPv4{Version: 4, TTL: 7, Protocol: layers.IPProtocolICMPv4, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
		icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 3, Seq: 4}
		return ethernet(t, clientMAC, nodeMAC, serialize(t, ip, icmp, data))
	}
	ip := &layers.IPv6{Version: 6, HopLimit: 7, NextHeader: layers.IPProtocolICMPv6, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
	require.NoError(t, icmp.SetNetworkLayerForChecksum(ip))
	return ethernet(t, clientMAC, nodeMAC, serialize(t, ip, icmp, &layers.ICMPv6Echo{Identifier: 3, SeqNumber: 4}, data))
}

// The LB node replies to an echo request to a VIP, which no interface has; the node's own address is the kernel's.
func TestEcho(t *testing.T) {
	inWorlds(t, func(t *testing.T, w world) {
		d := w.lb(t, services.ModeDSR)
		request := echoRequest(t, w.client, w.vip)
		assert.EqualValues(t, xdpPass, d.send(t, FromNetworkXDP, request).action, "tc replies")
		r := d.send(t, FromNetwork, request)
		assert.EqualValues(t, actRedirect, r.action)
		assert.Equal(t, only("echo-reply"), r.reasons)
		out := dissect(t, r.frame)
		assert.Equal(t, [2]netip.Addr{w.vip, w.client}, out.addresses())
		assert.EqualValues(t, 64, out.ttl())
		if w.vip.Is4() {
			assert.EqualValues(t, layers.ICMPv4TypeEchoReply, out.icmp4.TypeCode.Type())
			assert.Equal(t, []uint16{3, 4}, []uint16{out.icmp4.Id, out.icmp4.Seq})
		} else {
			assert.EqualValues(t, layers.ICMPv6TypeEchoReply, out.icmp6.TypeCode.Type())
		}
		assert.Equal(t, request[len(request)-10:], r.frame[len(r.frame)-10:])

		toNode := echoRequest(t, w.client, w.lbNode)
		r = d.send(t, FromNetwork, toNode)
		assert.EqualValues(t, actOK, r.action)
		assert.Equal(t, toNode, r.frame)
	})
}

package capture

import (
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/topologies"
)

var (
	theClient = netip.MustParseAddrPort("1.2.3.4:40000")
	theVIP    = netip.MustParseAddrPort("185.150.8.128:8080")
	thePod    = netip.MustParseAddrPort("10.0.1.50:8080")
	nodeA     = netip.MustParseAddr("85.217.172.142")
	nodeB     = netip.MustParseAddr("85.217.172.143")
)

// segment is a TCP segment as it would be captured, in Geneve with the given options if they aren't nil.
func segment(t *testing.T, from, to netip.AddrPort, tcp layers.TCP, options []byte) *Frame {
	t.Helper()
	serialize := func(parts ...gopacket.SerializableLayer) []byte {
		buffer := gopacket.NewSerializeBuffer()
		require.NoError(t, gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, parts...))
		return buffer.Bytes()
	}
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	tcp.SrcPort, tcp.DstPort = layers.TCPPort(from.Port()), layers.TCPPort(to.Port())
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	data := serialize(eth, ip, &tcp)
	if options != nil {
		geneve := append([]byte{byte(len(options) / 4), 0x40, 0x65, 0x58, 0, 0, 2, 0}, options...)
		outer := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: nodeA.AsSlice(), DstIP: nodeB.AsSlice()}
		data = serialize(eth, outer, &layers.UDP{SrcPort: 50000, DstPort: 6081}, gopacket.Payload(append(geneve, data...)))
	}
	f := dissect(data)
	require.NotNil(t, f)
	return f
}

func TestDissect(t *testing.T) {
	option := []byte{0x01, 0x4b, 0x81, 2, 185, 150, 8, 128, 0x1f, 0x90, 0, 0}
	f := segment(t, theClient, thePod, layers.TCP{SYN: true}, option)
	assert.Equal(t, "85.217.172.142 → 85.217.172.143  UDP 50000 → 6081  Geneve VNI 2, "+
		"option class 0x014b type 0x81 [b9 96 08 80 1f 90 00 00]: frontend 185.150.8.128:8080"+
		"  ┃ inside: 1.2.3.4:40000 → 10.0.1.50:8080 TCP [SYN]", f.String())
	assert.Equal(t, theVIP, f.Outer.Frontend)
	assert.True(t, f.IsFirst())

	other := segment(t, theClient, thePod, layers.TCP{ACK: true}, []byte{0x12, 0x34, 0x01, 0})
	assert.Nil(t, other.Outer.Option, "another option is not ours")
	assert.False(t, other.IsFirst())
	assert.Nil(t, dissect([]byte("too short to be a frame")))
}

func TestFacts(t *testing.T) {
	a := ReplySourcesOf(&services.Tables{
		Frontends: []services.Frontend{{Address: theVIP.Addr(), Port: theVIP.Port(), Protocol: services.TCP}},
		Backends:  []services.Backend{{Address: thePod.Addr(), Port: thePod.Port(), Protocol: services.TCP}},
	})
	node := func(role topologies.Role, addr netip.Addr) topologies.Node {
		return topologies.Node{Role: role, Addresses: []netip.Prefix{netip.PrefixFrom(addr, 24)}}
	}
	clientNode, lb, worker := node(topologies.RoleClient, theClient.Addr()), node(topologies.RoleLB, nodeA), node(topologies.RoleWorker, nodeB)
	synAck := layers.TCP{SYN: true, ACK: true}
	seen := Facts{Clients: []netip.Addr{theClient.Addr()}, LBNodes: []netip.Addr{nodeA}}
	seen.Add(clientNode, a, segment(t, theVIP, theClient, synAck, nil))
	seen.Add(clientNode, a, segment(t, thePod, theClient, synAck, nil))
	seen.Add(clientNode, a, segment(t, theClient, thePod, layers.TCP{RST: true}, nil))
	seen.Add(clientNode, a, segment(t, theClient, theVIP, layers.TCP{SYN: true}, nil))
	assert.Equal(t, 2, seen.Replies)
	assert.Equal(t, 1, seen.RepliesFromFrontend)
	assert.Equal(t, 1, seen.ClientResets)

	seen.Add(lb, a, segment(t, thePod, theClient, synAck, nil))
	seen.Add(lb, a, segment(t, theClient, theVIP, layers.TCP{SYN: true}, nil))
	assert.Equal(t, 1, seen.LBReplies, "a request is no answer")

	seen.Add(worker, a, segment(t, theClient, thePod, layers.TCP{SYN: true}, []byte{0x01, 0x4b, 0x81, 2, 185, 150, 8, 128, 0x1f, 0x90, 0, 0}))
	seen.Add(worker, a, segment(t, theClient, thePod, layers.TCP{SYN: true}, []byte{}))
	seen.Add(worker, a, segment(t, theClient, thePod, layers.TCP{ACK: true}, []byte{}))
	assert.Equal(t, 2, seen.Tunnelled, "first packets only")
	assert.Equal(t, 1, seen.TunnelledOption)
	assert.Equal(t, 2, seen.TunnelledNodes)
	assert.Equal(t, 1, seen.TunnelledCalled, "the other has no option")
	assert.Equal(t, 2, seen.TunnelledClient)
	seen.Add(worker, a, segment(t, theVIP, theClient, synAck, nil))
	seen.Add(worker, a, segment(t, thePod, theClient, synAck, nil))
	assert.Equal(t, 2, seen.Leaving)
	assert.Equal(t, 1, seen.LeavingFromFrontend)
}

package labs

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
func segment(t *testing.T, from, to netip.AddrPort, tcp layers.TCP, options []byte) *frame {
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
	assert.Equal(t, theVIP, f.outer.frontend)
	assert.True(t, f.isFirst())

	other := segment(t, theClient, thePod, layers.TCP{ACK: true}, []byte{0x12, 0x34, 0x01, 0})
	assert.Nil(t, other.outer.option, "another option is not ours")
	assert.False(t, other.isFirst())
	assert.Nil(t, dissect([]byte("too short to be a frame")))
}

func TestFacts(t *testing.T) {
	a := answersOf(&services.Tables{
		Frontends: []services.Frontend{{Address: theVIP.Addr(), Port: theVIP.Port(), Protocol: services.TCP}},
		Backends:  []services.Backend{{Address: thePod.Addr(), Port: thePod.Port(), Protocol: services.TCP}},
	})
	node := func(role topologies.Role, addr netip.Addr) topologies.Node {
		return topologies.Node{Role: role, Address: netip.PrefixFrom(addr, 24)}
	}
	clientNode, lb, worker := node(topologies.RoleClient, theClient.Addr()), node(topologies.RoleLB, nodeA), node(topologies.RoleWorker, nodeB)
	synAck := layers.TCP{SYN: true, ACK: true}
	var seen facts
	seen.note(clientNode, a, segment(t, theVIP, theClient, synAck, nil))
	seen.note(clientNode, a, segment(t, thePod, theClient, synAck, nil))
	seen.note(clientNode, a, segment(t, theClient, thePod, layers.TCP{RST: true}, nil))
	seen.note(clientNode, a, segment(t, theClient, theVIP, layers.TCP{SYN: true}, nil))
	assert.Equal(t, 2, seen.replies)
	assert.Equal(t, 1, seen.repliesFromFrontend)
	assert.Equal(t, 1, seen.clientResets)

	seen.note(lb, a, segment(t, thePod, theClient, synAck, nil))
	seen.note(lb, a, segment(t, theClient, theVIP, layers.TCP{SYN: true}, nil))
	assert.Equal(t, 1, seen.lbReplies, "a request is no answer")

	seen.note(worker, a, segment(t, theClient, thePod, layers.TCP{SYN: true}, []byte{0x01, 0x4b, 0x81, 2, 185, 150, 8, 128, 0x1f, 0x90, 0, 0}))
	seen.note(worker, a, segment(t, theClient, thePod, layers.TCP{SYN: true}, []byte{}))
	seen.note(worker, a, segment(t, theClient, thePod, layers.TCP{ACK: true}, []byte{}))
	assert.Equal(t, 2, seen.tunnelled, "first packets only")
	assert.Equal(t, 1, seen.tunnelledOption)
}

func TestParseNamesAllErrors(t *testing.T) {
	_, err := Parse("bad.yaml", []byte(`apiVersion: dsrlab.dev/v1alpha1
kind: Lab
metadata: {name: 99-bad, title: bad}
spec:
  question: none
  topology: talk
  seed: 1
  variants:
  - {name: a, dataPath: ipvs}
  - {name: a, dataPath: none, mode: dsr}
  phases:
  - name: p
    narration: x
    variants: [b]
    steps: []
  expectations:
  - {id: e, text: t, claims: [], variant: c, metric: m}
`))
	require.Error(t, err)
	for _, want := range []string{
		`spec.variants[0]: dataPath: "ipvs" is none of [none kube-proxy dnat-only dsrlab]`,
		`spec.variants[1].name: "a" must be a name of its own`,
		`spec.variants[1]: mode, hook: only dataPath dsrlab has them`,
		`spec.phases[0].variants[0]: "b" is none of the lab's`,
		`spec.phases[0].steps: there must be one`,
		`spec.expectations[0]: variant "c" or over "" is none of the lab's`,
		`spec.expectations[0]: want atLeast, atMost or both`,
	} {
		assert.ErrorContains(t, err, want)
	}
	_, err = Parse("bad.yaml", []byte("apiVersion: dsrlab.dev/v1alpha1\nkind: Lab\nspec:\n  questoin: which\n"))
	assert.ErrorContains(t, err, "bad.yaml:4")
}

func TestCatalogue(t *testing.T) {
	names, err := Catalogue()
	require.NoError(t, err)
	require.Equal(t, []string{"01-source-ip", "02-throughput"}, names)
	for _, name := range names {
		lab, err := Lookup(name)
		require.NoError(t, err)
		assert.Equal(t, name, lab.Metadata.Name, "the folder's name")
		_, err = planOf(lab)
		require.NoError(t, err)
	}
}

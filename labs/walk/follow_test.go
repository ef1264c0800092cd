package walk

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/results/report"
	"github.com/dsrlab/dsrlab/topologies"
)

// Addresses of the made-up network, in which a router stands between the client and the cluster.
const (
	client, nodeA, nodeB, router = "1.2.3.4", "85.217.172.142", "85.217.172.143", "router"
	clientPort, vip, pod         = "1.2.3.4:40000", "185.150.8.128:8080", "10.0.1.50:8080"
	clientPort6, vip6, pod6      = "[2001:db8::4]:40000", "[2001:db8:8::80]:8080", "[fd00::50]:8080"
	number, answer               = 4000000000, 77 // first sequence numbers
)

// sent is a frame on the wire between two nodes, each with its MAC.
type sent struct {
	from, to            string
	source, destination string
	ttl                 uint8
	tcp                 layers.TCP
	outer               [2]string // addresses of the tunnel
	option              []byte
}

func syn() layers.TCP    { return layers.TCP{SYN: true, Seq: number} }
func synAck() layers.TCP { return layers.TCP{SYN: true, ACK: true, Seq: answer, Ack: number + 1} }
func rst() layers.TCP    { return layers.TCP{RST: true, Seq: number + 1} }

func mac(node string) net.HardwareAddr {
	return net.HardwareAddr{2, 0, 0, 0, 0, map[string]byte{client: 1, nodeA: 2, nodeB: 3, router: 9}[node]}
}

func (s sent) bytes(t *testing.T) []byte {
	t.Helper()
	serialize := func(parts ...gopacket.SerializableLayer) []byte {
		buffer := gopacket.NewSerializeBuffer()
		require.NoError(t, gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, parts...))
		return buffer.Bytes()
	}
	eth := &layers.Ethernet{SrcMAC: mac(s.from), DstMAC: mac(s.to), EthernetType: layers.EthernetTypeIPv4}
	source, destination := netip.MustParseAddrPort(s.source), netip.MustParseAddrPort(s.destination)
	s.tcp.SrcPort, s.tcp.DstPort = layers.TCPPort(source.Port()), layers.TCPPort(destination.Port())
	var ip gopacket.SerializableLayer = &layers.IPv4{
		Version: 4, TTL: s.ttl, Protocol: layers.IPProtocolTCP, SrcIP: source.Addr().AsSlice(), DstIP: destination.Addr().AsSlice(),
	}
	inner := *eth
	if source.Addr().Is6() {
		inner.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: s.ttl, NextHeader: layers.IPProtocolTCP, SrcIP: source.Addr().AsSlice(), DstIP: destination.Addr().AsSlice()}
	}
	data := serialize(&inner, ip, &s.tcp)
	if s.outer[0] == "" {
		return data
	}
	geneve := append([]byte{byte(len(s.option) / 4), 0x40, 0x65, 0x58, 0, 0, 2, 0}, s.option...)
	outer := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.ParseIP(s.outer[0]).To4(), DstIP: net.ParseIP(s.outer[1]).To4()}
	return serialize(eth, outer, &layers.UDP{SrcPort: 50000, DstPort: 6081}, gopacket.Payload(append(geneve, data...)))
}

// captureOf is a capture of a node that saw some frames.
func captureOf(t *testing.T, node string, frames ...sent) Captured {
	t.Helper()
	var data bytes.Buffer
	w, err := pcapgo.NewNgWriter(&data, layers.LinkTypeEthernet)
	require.NoError(t, err)
	for _, s := range frames {
		raw := s.bytes(t)
		require.NoError(t, w.WritePacket(gopacket.CaptureInfo{CaptureLength: len(raw), Length: len(raw)}, raw))
	}
	require.NoError(t, w.Flush())
	c := Captured{Node: &topologies.Node{
		Name: map[string]string{client: "client", nodeA: "node-a", nodeB: "node-b"}[node], MAC: topologies.HardwareAddr(mac(node)),
		Role: map[string]topologies.Role{client: topologies.RoleClient, nodeA: topologies.RoleLB, nodeB: topologies.RoleWorker}[node],
	}}
	require.NoError(t, capture.Dissect(&data, c.Add))
	return c
}

// dsr are what client, LB node and pod node capture of a request under DSR.
func dsr() (atClient, atLB, atPod []sent) {
	option := []byte{0x01, 0x4b, 0x81, 2, 185, 150, 8, 128, 0x1f, 0x90, 0, 0}
	tunnelled := sent{nodeA, nodeB, clientPort, pod, 62, syn(), [2]string{nodeA, nodeB}, option}
	return []sent{
			{from: client, to: router, source: clientPort, destination: vip, ttl: 64, tcp: syn()},
			{from: router, to: client, source: vip, destination: clientPort, ttl: 62, tcp: synAck()},
		}, []sent{
			{from: router, to: nodeA, source: clientPort, destination: vip, ttl: 63, tcp: syn()}, tunnelled,
		}, []sent{
			tunnelled, {from: nodeB, to: router, source: vip, destination: clientPort, ttl: 63, tcp: synAck()},
		}
}

// told are hops in short.
func told(hops []report.WalkHop) []string {
	var all []string
	for _, h := range hops {
		text := string(rune('0'+h.From)) + "→" + string(rune('0'+h.To)) + " " + h.Packet + " " + h.Source.String() + " → " + h.Destination.String()
		if h.Tunnel != nil {
			text += " in Geneve " + h.Tunnel.Source.String() + " → " + h.Tunnel.Destination.String()
			if h.Tunnel.Option != "" {
				text += " called " + h.Tunnel.Frontend.String()
			}
		}
		all = append(all, text)
	}
	return all
}

func TestFollowDSR(t *testing.T) {
	atClient, atLB, atPod := dsr()
	hops, err := Follow([]Captured{captureOf(t, client, atClient...), captureOf(t, nodeA, atLB...), captureOf(t, nodeB, atPod...)})
	require.NoError(t, err)
	assert.Equal(t, []string{
		"0→1 SYN 1.2.3.4:40000 → 185.150.8.128:8080",
		"1→2 SYN 1.2.3.4:40000 → 10.0.1.50:8080 in Geneve 85.217.172.142 → 85.217.172.143 called 185.150.8.128:8080",
		"2→0 SYN-ACK 185.150.8.128:8080 → 1.2.3.4:40000",
	}, told(hops))
	assert.Equal(t, [2]uint8{64, 63}, [2]uint8{hops[0].TTL, hops[0].ArrivedTTL})
	assert.Equal(t, "class 0x014b, type 0x81", hops[1].Tunnel.Option)
	assert.Equal(t, uint32(2), hops[1].Tunnel.VNI)
	assert.Equal(t, []int{1}, hops[2].Without, "the LB node's capture has no reply")
	assert.Empty(t, hops[0].Without)
}

// Under SNAT nothing but the sequence number says that what leaves the LB node is the client's request, and the nodes' captures may have
// other connections before it.
func TestFollowSNAT(t *testing.T) {
	other := layers.TCP{SYN: true, Seq: 1}
	request := sent{from: nodeA, to: nodeB, source: nodeA + ":61000", destination: pod, ttl: 62, tcp: syn()}
	reply := sent{from: nodeB, to: nodeA, source: pod, destination: nodeA + ":61000", ttl: 63, tcp: synAck()}
	hops, err := Follow([]Captured{
		captureOf(t, client,
			sent{from: client, to: router, source: "1.2.3.4:39999", destination: vip, ttl: 64, tcp: other}, // never answered
			sent{from: client, to: router, source: clientPort, destination: vip, ttl: 64, tcp: syn()},
			sent{from: router, to: client, source: vip, destination: clientPort, ttl: 61, tcp: synAck()},
		),
		captureOf(t, nodeA,
			sent{from: router, to: nodeA, source: "1.2.3.4:39999", destination: vip, ttl: 63, tcp: other},
			sent{from: router, to: nodeA, source: clientPort, destination: vip, ttl: 63, tcp: syn()},
			sent{from: nodeA, to: nodeB, source: nodeA + ":60999", destination: pod, ttl: 62, tcp: other},
			request, reply,
			sent{from: nodeA, to: router, source: vip, destination: clientPort, ttl: 62, tcp: synAck()},
		),
		captureOf(t, nodeB, request, reply),
	})
	require.NoError(t, err)
	assert.Equal(t, []string{
		"0→1 SYN 1.2.3.4:40000 → 185.150.8.128:8080",
		"1→2 SYN 85.217.172.142:61000 → 10.0.1.50:8080",
		"2→1 SYN-ACK 10.0.1.50:8080 → 85.217.172.142:61000",
		"1→0 SYN-ACK 185.150.8.128:8080 → 1.2.3.4:40000",
	}, told(hops))
	assert.Empty(t, hops[2].Without)
}

func TestFollowIPv6(t *testing.T) {
	option := append(append([]byte{0x01, 0x4b, 0x81, 5}, netip.MustParseAddrPort(vip6).Addr().AsSlice()...), 0x1f, 0x90, 0, 0)
	tunnelled := sent{nodeA, nodeB, clientPort6, pod6, 62, syn(), [2]string{nodeA, nodeB}, option}
	hops, err := Follow([]Captured{
		captureOf(t, client,
			sent{from: client, to: router, source: clientPort6, destination: vip6, ttl: 64, tcp: syn()},
			sent{from: router, to: client, source: vip6, destination: clientPort6, ttl: 62, tcp: synAck()}),
		captureOf(t, nodeA, sent{from: router, to: nodeA, source: clientPort6, destination: vip6, ttl: 63, tcp: syn()}, tunnelled),
		captureOf(t, nodeB, tunnelled, sent{from: nodeB, to: router, source: vip6, destination: clientPort6, ttl: 63, tcp: synAck()}),
	})
	require.NoError(t, err)
	assert.Equal(t, []string{
		"0→1 SYN [2001:db8::4]:40000 → [2001:db8:8::80]:8080",
		"1→2 SYN [2001:db8::4]:40000 → [fd00::50]:8080 in Geneve 85.217.172.142 → 85.217.172.143 called [2001:db8:8::80]:8080",
		"2→0 SYN-ACK [2001:db8:8::80]:8080 → [2001:db8::4]:40000",
	}, told(hops))
}

// A SYN or a reply that was sent again, at some of the nodes or at all of them, is one packet.
func TestFollowRetransmission(t *testing.T) {
	atClient, atLB, atPod := dsr()
	want, err := Follow([]Captured{captureOf(t, client, atClient...), captureOf(t, nodeA, atLB...), captureOf(t, nodeB, atPod...)})
	require.NoError(t, err)
	atClient = []sent{atClient[0], atClient[0], atClient[1], atClient[1]}
	atLB = []sent{atLB[0], atLB[0], atLB[1], atLB[1]}
	atPod = []sent{atPod[0], atPod[1], atPod[1]}
	hops, err := Follow([]Captured{captureOf(t, client, atClient...), captureOf(t, nodeA, atLB...), captureOf(t, nodeB, atPod...)})
	require.NoError(t, err)
	assert.Equal(t, want, hops)
}

// Two CPUs may write what a node received and what it sent in the other order.
func TestFollowReorderedCapture(t *testing.T) {
	atClient, atLB, atPod := dsr()
	hops, err := Follow([]Captured{captureOf(t, client, atClient...), captureOf(t, nodeA, atLB[1], atLB[0]), captureOf(t, nodeB, atPod[1], atPod[0])})
	require.NoError(t, err)
	assert.Len(t, hops, 3)
}

func TestFollowRejection(t *testing.T) {
	forwarded := sent{from: nodeA, to: nodeB, source: clientPort, destination: pod, ttl: 62, tcp: syn()}
	atClient, atLB, _ := dsr()
	captures := func(atClientToo ...sent) []Captured {
		return []Captured{
			captureOf(t, client, append([]sent{atClient[0], {from: router, to: client, source: pod, destination: clientPort, ttl: 62, tcp: synAck()}}, atClientToo...)...),
			captureOf(t, nodeA, atLB[0], forwarded),
			captureOf(t, nodeB, forwarded, sent{from: nodeB, to: router, source: pod, destination: clientPort, ttl: 63, tcp: synAck()},
				sent{from: router, to: nodeB, source: clientPort, destination: pod, ttl: 63, tcp: rst()}),
		}
	}
	hops, err := Follow(captures(sent{from: client, to: router, source: clientPort, destination: pod, ttl: 64, tcp: rst()}))
	require.NoError(t, err)
	require.Len(t, hops, 4)
	assert.Equal(t, "0→2 RST 1.2.3.4:40000 → 10.0.1.50:8080", told(hops)[3])
	assert.Equal(t, []int{1}, hops[3].Without)

	end := rst()
	end.ACK = true
	hops, err = Follow(captures(sent{from: client, to: router, source: clientPort, destination: pod, ttl: 64, tcp: end}))
	require.NoError(t, err)
	assert.Len(t, hops, 3, "an RST with ACK ends a connection that there was")
}

// What the captures do not show is not guessed.
func TestFollowIncomplete(t *testing.T) {
	atClient, atLB, atPod := dsr()
	other := atClient[0]
	other.source = "1.2.3.4:40001"
	for name, test := range map[string]struct {
		captures []Captured
		want     string
	}{
		"no LB node": {[]Captured{captureOf(t, client, atClient...), captureOf(t, nodeB, atPod...)},
			"no capture holds where the SYN arrived that client sent to 185.150.8.128:8080"},
		"no pod node": {[]Captured{captureOf(t, client, atClient...), captureOf(t, nodeA, atLB...)},
			"no capture holds where the SYN arrived that node-a sent to 10.0.1.50:8080"},
		"no client": {[]Captured{captureOf(t, nodeA, atLB...), captureOf(t, nodeB, atPod...)}, "no capture holds a SYN that a client sent"},
		"nothing":   {nil, "no capture holds a SYN that a client sent"},
		"no reply": {[]Captured{captureOf(t, client, atClient...), captureOf(t, nodeA, atLB...), captureOf(t, nodeB, atPod[0])},
			"the capture of node-b holds no SYN-ACK that it sent"},
		"reply lost": {[]Captured{captureOf(t, client, atClient[0]), captureOf(t, nodeA, atLB...), captureOf(t, nodeB, atPod...)},
			"no capture holds where the SYN-ACK arrived that node-b sent to 1.2.3.4:40000"},
		"two connections with one number": {[]Captured{captureOf(t, client, append([]sent{other}, atClient...)...), captureOf(t, nodeA, atLB...), captureOf(t, nodeB, atPod...)},
			"two connections of client begin with the sequence number 4000000000"},
	} {
		t.Run(name, func(t *testing.T) {
			hops, err := Follow(test.captures)
			assert.Nil(t, hops)
			assert.EqualError(t, err, test.want)
		})
	}
}

package capture

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// plainFrame is a TCP segment without a tunnel, as a client sends it.
func plainFrame(t *testing.T, from, to netip.AddrPort, tcp layers.TCP) []byte {
	t.Helper()
	buffer := gopacket.NewSerializeBuffer()
	eth := &layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	tcp.SrcPort, tcp.DstPort = layers.TCPPort(from.Port()), layers.TCPPort(to.Port())
	require.NoError(t, gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, eth, ip, &tcp))
	return buffer.Bytes()
}

// laterFragment is one of a datagram's that does not show its ports.
func laterFragment(t *testing.T, from, to netip.Addr, bytes int) []byte {
	t.Helper()
	buffer := gopacket.NewSerializeBuffer()
	eth := &layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolTCP, FragOffset: 100, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	require.NoError(t, gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, eth, ip, gopacket.Payload(make([]byte, bytes-34))))
	return buffer.Bytes()
}

func synSignature(bytes int) Signature {
	return Signature{FromNetwork, layers.IPProtocolTCP, theClient, theVIP, 2, bytes}
}

func TestSignatures(t *testing.T) {
	syn := plainFrame(t, theClient, theVIP, layers.TCP{SYN: true})
	all, unclear := signatures(FromNetwork, syn)
	assert.Equal(t, []Signature{synSignature(len(syn))}, all)
	assert.Empty(t, unclear)

	for _, outer := range [][2]string{{"85.217.172.142", "85.217.172.143"}, {"2001:db8::1", "2001:db8::2"}} {
		from, to := netip.MustParseAddr(outer[0]), netip.MustParseAddr(outer[1])
		tunnelled := geneveFrame(t, from, to, 0x40, dsrOption(theVIP))
		all, unclear = signatures(FromNetwork, tunnelled)
		assert.Equal(t, []Signature{
			{FromNetwork, layers.IPProtocolUDP, netip.AddrPortFrom(from, 50000), netip.AddrPortFrom(to, 6081), 0, len(tunnelled)},
			{FromNetwork, layers.IPProtocolTCP, theClient, thePod, 2, len(tunnelled)},
		}, all)
		assert.Empty(t, unclear)
		for i := range tunnelled {
			signatures(FromNetwork, tunnelled[:i]) // does not panic
		}
	}
	all, unclear = signatures(FromPods, laterFragment(t, theClient.Addr(), theVIP.Addr(), 100))
	assert.Empty(t, all)
	assert.Equal(t, []pair{{FromPods, layers.IPProtocolTCP, theClient.Addr(), theVIP.Addr()}}, unclear)
}

func TestDecisions(t *testing.T) {
	syn := plainFrame(t, theClient, theVIP, layers.TCP{SYN: true})
	s := synSignature(len(syn))
	for _, test := range []struct {
		name string
		do   func(d *Decisions)
		want []string
	}{
		{"one packet, one decision", func(d *Decisions) {
			d.Packet(FromNetwork, syn)
			d.Decision(s, "a")
		}, []string{"a"}},
		{"sent again, and the same was decided", func(d *Decisions) {
			d.Packet(FromNetwork, syn)
			d.Packet(FromNetwork, syn)
			d.Decision(s, "a")
			d.Decision(s, "a")
		}, []string{"a", "a"}},
		{"sent again, and something else was decided", func(d *Decisions) {
			d.Packet(FromNetwork, syn)
			d.Packet(FromNetwork, syn)
			d.Decision(s, "a")
			d.Decision(s, "b")
		}, []string{"", ""}},
		{"sent again, and one decision is not there", func(d *Decisions) {
			d.Packet(FromNetwork, syn)
			d.Packet(FromNetwork, syn)
			d.Decision(s, "a")
		}, []string{"", ""}},
		{"another place", func(d *Decisions) {
			d.Packet(FromPods, syn)
			d.Packet(FromNetwork, syn)
			d.Decision(s, "a")
		}, []string{"", "a"}},
		{"a fragment that may be meant", func(d *Decisions) {
			d.Packet(FromNetwork, syn)
			d.Packet(FromNetwork, laterFragment(t, theClient.Addr(), theVIP.Addr(), len(syn)))
			d.Decision(s, "a")
		}, []string{"", ""}},
		{"more decisions than packets: nothing is certain", func(d *Decisions) {
			d.Packet(FromNetwork, syn)
			d.Packet(FromNetwork, geneveFrame(t, nodeA, nodeB, 0x40, dsrOption(theVIP)))
			d.Decision(s, "a")
			other := s
			other.Bytes++
			d.Decision(other, "b")
		}, []string{"", ""}},
		{"without ports", func(d *Decisions) {
			d.Packet(FromNetwork, syn)
			d.Decision(Signature{FromNetwork, layers.IPProtocolTCP, netip.AddrPortFrom(theClient.Addr(), 0), netip.AddrPortFrom(theVIP.Addr(), 0), 0, len(syn)}, "b")
			d.Decision(s, "a")
		}, []string{"a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := NewDecisions()
			test.do(d)
			assert.Equal(t, test.want, d.Comments(len(test.want)))
			assert.Empty(t, d.tallies, "nothing is kept")
			assert.Empty(t, d.unclear)
		})
	}
}

// What is sent again after the packet before it was settled is matched by itself, whatever was decided then.
func TestDecisionsInTurns(t *testing.T) {
	d := NewDecisions()
	syn := plainFrame(t, theClient, theVIP, layers.TCP{SYN: true})
	s := synSignature(len(syn))
	d.Packet(FromNetwork, syn)
	assert.Equal(t, []string{""}, d.Comments(1), "let pass, and not reported")
	for _, comment := range []string{"a", "b"} {
		d.Packet(FromNetwork, syn)
		d.Decision(s, comment)
		assert.Equal(t, []string{comment}, d.Comments(1))
	}
	// One whose decision comes late keeps its like from being commented on, until all decisions are there.
	d.Packet(FromNetwork, syn)
	d.Packet(FromNetwork, syn)
	d.Decision(s, "c")
	assert.Equal(t, []string{""}, d.Comments(1))
	d.Decision(s, "c")
	assert.Equal(t, []string{"c"}, d.Comments(1))
}

// simulated is a packet on its way through a node of the test below.
type simulated struct {
	place     Place
	frame     []byte
	signature Signature
	decided   string // empty: nothing is reported
	comment   string
	commented bool
}

// TestDecisionsAreNeverWrong: whatever the order in which packets of a few kinds come, are decided about, are read, and however many
// events are lost, no packet has a comment of another. Some have one, though all are of six kinds, and a third are let pass.
func TestDecisionsAreNeverWrong(t *testing.T) {
	kinds := signatureKinds(t)
	var right, decided int
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		load, lossy := 1+r.IntN(6), r.IntN(4) == 0
		var all, queue, onWay []*simulated
		var events []*simulated
		d := NewDecisions()
		taken, returned := 0, 0
		decide := func(i int) {
			p := onWay[i]
			onWay = append(onWay[:i], onWay[i+1:]...)
			if p.decided != "" && (!lossy || r.IntN(8) > 0) {
				events = append(events, p)
			}
		}
		bustle := func() { // packets come and are decided about on several CPUs, in any order
			for range r.IntN(load) {
				if len(onWay) > 0 && r.IntN(2) == 0 {
					decide(r.IntN(len(onWay)))
					continue
				}
				k := kinds[r.IntN(len(kinds))]
				p := &simulated{place: k.place, frame: k.frame, signature: k.signature}
				if r.IntN(3) > 0 {
					p.decided = fmt.Sprint("d", r.IntN(2))
				}
				all, queue, onWay = append(all, p), append(queue, p), append(onWay, p)
			}
		}
		drain := func() {
			for ; len(queue) > 0; queue = queue[1:] {
				d.Packet(queue[0].place, queue[0].frame)
				taken++
			}
		}
		for range 12 { // turns, as netns.commentator has them
			bustle()
			drain()
			settling, before := taken-returned, append([]*simulated(nil), onWay...)
			bustle()
			for _, p := range before { // a grace period
				for i := range onWay {
					if onWay[i] == p {
						decide(i)
						break
					}
				}
			}
			bustle()
			for _, e := range events {
				d.Decision(e.signature, e.decided)
			}
			events = nil
			bustle()
			drain()
			for i, comment := range d.Comments(settling) {
				p := all[returned+i]
				p.comment, p.commented = comment, true
			}
			returned += settling
		}
		for i, p := range all {
			if p.comment != "" {
				require.Equal(t, p.decided, p.comment, "seed %d, packet %d", seed, i)
				right++
			}
			if p.commented && p.decided != "" {
				decided++
			}
		}
	}
	assert.Greater(t, float64(right)/float64(decided), 0.08)
}

// signatureKinds are frames, and what the data path says of each.
func signatureKinds(t *testing.T) []simulated {
	syn := plainFrame(t, theClient, theVIP, layers.TCP{SYN: true})
	fin := plainFrame(t, theClient, theVIP, layers.TCP{FIN: true, ACK: true})
	tunnelled := geneveFrame(t, nodeA, nodeB, 0x40, dsrOption(theVIP))
	all, _ := signatures(FromNetwork, tunnelled)
	outer, inner := all[0], all[1]
	finished := synSignature(len(fin))
	finished.TCPFlags = 0x11
	fromPod := synSignature(len(syn))
	fromPod.Place = FromPods
	return []simulated{
		{place: FromNetwork, frame: syn, signature: synSignature(len(syn))},
		{place: FromNetwork, frame: fin, signature: finished},
		{place: FromPods, frame: syn, signature: fromPod},
		{place: FromNetwork, frame: tunnelled, signature: inner},
		{place: FromNetwork, frame: tunnelled, signature: outer}, // refused before it was looked into
		{place: FromNetwork, frame: laterFragment(t, theClient.Addr(), theVIP.Addr(), len(syn)), signature: synSignature(len(syn))},
	}
}

package dataplane

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// seeds are the frames of the packet tests, for the fuzzers to mutate.
func (w world) seeds(t testing.TB) [][]byte {
	ack := packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: portEcho, ack: true, payload: 11}
	udp := packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: portEcho, udp: true, payload: 12}
	big := udp
	big.payload = 1440
	ranges := w.syn(portRanges)
	ranges.src = w.other
	options := w.syn(portEcho)
	options.ipOptions = true
	fragment := packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: portEcho, udp: true, payload: 900}
	inner := packetSpec{src: w.client, dst: w.pod, sport: 40000, dport: 8080, syn: true, mss: 1460, geneve: w.around(dsrOption(w.vip, portEcho))}
	plain, two := inner, inner
	plain.geneve = w.around(nil)
	two.geneve = w.around(append([]byte{0x12, 0x34, 1, 0}, dsrOption(w.vip, portEcho)...))
	answer := packetSpec{src: w.pod, dst: w.client, sport: 8080, dport: 40000, syn: true, ack: true, mss: 1460}
	call := packetSpec{src: w.localPod, dst: w.clusterIP, sport: 40000, dport: portCluster, syn: true}
	own := packetSpec{src: w.pod, dst: w.clusterIP, sport: 40000, dport: portCluster, syn: true}
	node := packetSpec{src: w.lbNode, dst: w.clusterIP, sport: 40000, dport: portCluster, udp: true, payload: 2}
	var all [][]byte
	for _, p := range []packetSpec{
		w.syn(portEcho), w.syn(portOther), w.syn(portLocal), w.syn(portNone), w.syn(portOnlyHere), w.syn(portAffinity), w.syn(1),
		ack, udp, big, ranges, options, inner, plain, two, answer, call, own, node,
	} {
		all = append(all, p.frame(t))
	}
	for _, piece := range pieces(fragment, 304) {
		all = append(all, piece.frame(t))
	}
	begins := packetSpec{src: w.lbNode, dst: w.client, sport: portNode, dport: 443, syn: true}
	request := geneveSpec{src: w.podTunnel, dst: w.lbTunnel, vni: 2, protocol: 0x6558, control: true}
	all = append(all, begins.frame(t), request.wrap(t, ack.frame(t)), echoRequest(t, w.client, w.vip))
	about := packetSpec{src: w.vip, dst: w.client, sport: portEcho, dport: 40000, ack: true, payload: 30}
	return append(all, icmpError(t, w.other, w.vip, 1280, about.ip(t)), icmpError(t, w.pod, w.client, 0, inner.ip(t)))
}

// fuzzed is a program of a loaded node, and its world.
type fuzzed struct {
	w     world
	d     *DataPath
	point Direction
}

// newFuzzed loads nodes of two worlds, LB node and pod node of each, for a program.
func newFuzzed(f *testing.F, point Direction) []fuzzed {
	var all []fuzzed
	for _, w := range []world{worlds()[0], worlds()[1], worlds()[2]} {
		for _, frame := range w.seeds(f) {
			for i := range 6 {
				f.Add(frame, uint8(i))
			}
		}
		all = append(all, fuzzed{w, w.lb(f, services.ModeDSR), point}, fuzzed{w, w.worker(f, services.ModeSNAT), point})
	}
	return all
}

func FuzzFromNetwork(f *testing.F) {
	nodes := newFuzzed(f, FromNetwork)
	f.Fuzz(func(t *testing.T, frame []byte, which uint8) { nodes[int(which)%len(nodes)].check(t, frame) })
}

func FuzzFromNetworkXDP(f *testing.F) {
	nodes := newFuzzed(f, FromNetworkXDP)
	f.Fuzz(func(t *testing.T, frame []byte, which uint8) { nodes[int(which)%len(nodes)].check(t, frame) })
}

func FuzzFromPod(f *testing.F) {
	nodes := newFuzzed(f, FromPod)
	f.Fuzz(func(t *testing.T, frame []byte, which uint8) { nodes[int(which)%len(nodes)].check(t, frame) })
}

func FuzzFromNode(f *testing.F) {
	nodes := newFuzzed(f, FromNode)
	f.Fuzz(func(t *testing.T, frame []byte, which uint8) { nodes[int(which)%len(nodes)].check(t, frame) })
}

// check runs the program on a frame and holds what it did against rules that are written down here anew.
func (z fuzzed) check(t *testing.T, frame []byte) {
	if len(frame) < 14 || len(frame) > 3000 { // what the kernel takes for a test run
		return
	}
	before := z.d.counts(t)
	run := &ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	action, err := (*z.d.objects.DatapathPrograms.ByName()[string(z.point)]).Run(run)
	if err != nil {
		return // the kernel itself refuses such a frame
	}
	reason := z.onlyReason(t, before)
	switch {
	case z.point == FromNetworkXDP && action == xdpPass, reason == "not-ours":
		require.Equal(t, frame, run.DataOut, "left alone")
		return
	case reason == "": // from_node counts only what is for a service
		require.Equal(t, FromNode, z.point)
		require.EqualValues(t, actOK, action)
		return
	}
	in, out := takeApart(frame), takeApart(run.DataOut)
	switch reason {
	case "to-overlay-dsr", "to-overlay-snat":
		z.checkForwarded(t, in, out)
	case "from-overlay":
		z.checkReceived(t, in)
	case "reply-direct":
		require.NotEqual(t, z.w.pod, out.source(), "a pod's address")
	}
	drop := map[Direction]uint32{FromNetworkXDP: xdpDrop}[z.point]
	if drop == 0 {
		drop = actShot
	}
	if isForwarding(reason) {
		require.NotEqual(t, drop, action, reason)
	} else if !isAnswered(reason) {
		require.Equal(t, drop, action, reason)
	}
	if in.sound && action != drop && len(run.DataOut) > 0 {
		require.True(t, out.sound, "%s: checksums were right and are not any more:\n% x\n% x", reason, frame, run.DataOut)
	}
}

// onlyReason is the one reason that was counted since before; none is the empty one.
func (z fuzzed) onlyReason(t *testing.T, before map[string]uint64) string {
	found := ""
	for reason, n := range z.d.counts(t) {
		if n != before[reason] {
			require.EqualValues(t, 1, n-before[reason])
			require.Empty(t, found, "two reasons")
			found = reason
		}
	}
	return found
}

func isForwarding(reason string) bool {
	for _, prefix := range []string{"to-", "from-overlay", "reply-", "icmp-relayed", "echo-reply", "not-ours"} {
		if strings.HasPrefix(reason, prefix) {
			return true
		}
	}
	return false
}

// isAnswered reports whether the sender of a dropped packet can be told: the client by ICMP, the LB node by a request for the option.
func isAnswered(reason string) bool {
	return slices.Contains([]string{"no-backend", "too-big", "ttl", "no-flow"}, reason)
}

// checkForwarded: what leaves by a tunnel was for a frontend that clients outside may use, from one that may use it, and goes to
// a backend of that frontend.
func (z fuzzed) checkForwarded(t *testing.T, in, out parts) {
	tables := z.w.tables(services.ModeDSR)
	portless := in.fragment || in.ports == [2]uint16{} // not the first one, or a header that the decoder does not take
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		if f.Address != in.destination() || !portless && (f.Port != in.ports[1] || uint8(f.Protocol) != in.protocol) || f.Kind == services.KindClusterIP {
			continue
		}
		if len(f.SourceRanges) > 0 && !f.SourceRanges[0].Contains(in.source()) {
			continue
		}
		for _, b := range f.Backends {
			if tables.Backends[b].Address == out.destination() && (portless || tables.Backends[b].Port == out.ports[1]) {
				require.Equal(t, 2, len(out.addresses)/2, "one tunnel")
				return
			}
		}
	}
	require.Fail(t, "forwarded what no frontend is for", "%+v → %+v", in, out)
}

// checkReceived: what goes into a pod out of a tunnel came from another node, under our network identifier.
func (z fuzzed) checkReceived(t *testing.T, in parts) {
	require.Len(t, in.addresses, 4, "a tunnel and what is in it")
	sender := in.addresses[0]
	known := false
	for _, a := range append(z.w.lbAddresses, z.w.podsNodes...) {
		known = known || a == sender
	}
	require.True(t, known, "sender %v", sender)
	require.EqualValues(t, 2, in.vni)
}

// parts are what a frame is made of, from the outside in.
type parts struct {
	addresses []netip.Addr // source and destination of each IP header
	ports     [2]uint16    // of the innermost TCP or UDP header
	protocol  uint8        // likewise
	vni       uint32
	fragment  bool // not the first one, or not whole
	sound     bool // all lengths and checksums are right
}

func (p parts) source() netip.Addr {
	if len(p.addresses) < 2 {
		return netip.Addr{}
	}
	return p.addresses[len(p.addresses)-2]
}

func (p parts) destination() netip.Addr {
	if len(p.addresses) < 2 {
		return netip.Addr{}
	}
	return p.addresses[len(p.addresses)-1]
}

// takeApart decodes a frame with a decoder that this project did not write.
func takeApart(frame []byte) parts {
	p := parts{sound: true}
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	var network gopacket.NetworkLayer
	for _, layer := range packet.Layers() {
		switch l := layer.(type) {
		case *layers.IPv4:
			network = l
			p.add(l.NetworkFlow())
			p.fragment = l.FragOffset != 0 || l.Flags&layers.IPv4MoreFragments != 0
			p.sound = p.sound && int(l.Length) == len(l.Contents)+len(l.Payload)
		case *layers.IPv6:
			network = l
			p.add(l.NetworkFlow())
			p.sound = p.sound && int(l.Length) == len(l.Payload)
		case *layers.IPv6Fragment:
			p.fragment = true
		case *layers.TCP:
			p.ports, p.protocol = [2]uint16{uint16(l.SrcPort), uint16(l.DstPort)}, uint8(services.TCP)
			_ = l.SetNetworkLayerForChecksum(network)
		case *layers.UDP:
			p.ports, p.protocol = [2]uint16{uint16(l.SrcPort), uint16(l.DstPort)}, uint8(services.UDP)
			_ = l.SetNetworkLayerForChecksum(network)
			p.sound = p.sound && (p.fragment || int(l.Length) == len(l.Contents)+len(l.Payload))
		case *layers.ICMPv6:
			_ = l.SetNetworkLayerForChecksum(network)
		case *layers.Geneve:
			p.vni = l.VNI
		}
	}
	err, mismatches := packet.VerifyChecksums()
	p.sound = p.sound && err == nil && packet.ErrorLayer() == nil && network != nil
	for _, m := range mismatches {
		udp, isUDP := m.Layer.(*layers.UDP)
		p.sound = p.sound && (isUDP && udp.Checksum == 0 || p.fragment)
	}
	return p
}

func (p *parts) add(flow gopacket.Flow) {
	source, _ := netip.AddrFromSlice(flow.Src().Raw())
	destination, _ := netip.AddrFromSlice(flow.Dst().Raw())
	p.addresses = append(p.addresses, source, destination)
}

// FuzzDecode: whatever the rings hold, it is read or refused, and what is read says no more than was there.
func FuzzDecode(f *testing.F) {
	r, err := worlds()[0].lb(f, services.ModeDSR).newEventDecoder()
	require.NoError(f, err)
	f.Add(make([]byte, 512))
	f.Add(make([]byte, 120))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e bpf.DatapathEvent
		if decode(raw, &e) == nil {
			_ = r.event(&e)
		}
		var h bpf.DatapathHop
		if decode(raw, &h) == nil {
			hop := r.hop(&h)
			require.LessOrEqual(t, len(hop.Before), len(h.Before))
			require.LessOrEqual(t, len(hop.After), hop.LengthAfter)
		}
	})
}

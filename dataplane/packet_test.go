package dataplane

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// The packet tests' world: a client, an LB node, a pod node; the talk's addresses.
var (
	client   = netip.MustParseAddr("192.168.1.202")
	lbNode   = netip.MustParseAddr("192.168.1.11")
	podNode  = netip.MustParseAddr("192.168.1.13")
	vip      = netip.MustParseAddr("185.150.8.128")
	pod      = netip.MustParseAddr("10.0.1.2")
	localPod = netip.MustParseAddr("10.0.0.2")

	clientMAC, _  = net.ParseMAC("02:00:c0:a8:01:ca")
	nodeMAC, _    = net.ParseMAC("02:00:c0:a8:01:0b")
	podNodeMAC, _ = net.ParseMAC("02:00:c0:a8:01:0d")
	podMAC, _     = net.ParseMAC("02:00:0a:00:01:02")
	vethMAC, _    = net.ParseMAC("02:01:0a:00:01:02")
)

// Actions of tc programs (include/uapi/linux/pkt_cls.h).
const (
	actOK       = 0
	actShot     = 2
	actRedirect = 7
)

// smallSizes make maps that are quickly made.
var smallSizes = Sizes{Frontends: 64, Backends: 64, Tables: 16, Flows: 1024, SNATPorts: 1024, Replies: 1024, Pods: 16, Events: 1 << 16}

// newNode loads a node's programs without attaching them.
func newNode(t testing.TB, address netip.Addr, state State) *DataPath {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loads BPF programs")
	}
	require.NoError(t, rlimit.RemoveMemlock())
	config, err := Config{Address: address, Device: "lo", PinDir: "-", Sizes: smallSizes}.withDefaults()
	require.NoError(t, err)
	spec, err := specOf(config, &net.Interface{Index: 1, HardwareAddr: nodeMAC})
	require.NoError(t, err)
	d := &DataPath{}
	require.NoError(t, spec.LoadAndAssign(&d.objects, nil))
	t.Cleanup(func() { d.Close() })
	_, err = d.Apply(state)
	require.NoError(t, err)
	return d
}

// world is the state of node: a service on 8080 with a pod on the pod node, one on 9090 whose pod listens on 90, one on 7070
// with a pod on the LB node, and one on 6060 without any.
func world(node string, mode services.Mode) State {
	backend := func(addr netip.Addr, port uint16, p services.Protocol, node string, nodeAddr netip.Addr) services.Backend {
		return services.Backend{Address: addr, Port: port, Protocol: p, Node: node, NodeAddress: nodeAddr, Weight: 1}
	}
	frontend := func(addr netip.Addr, port uint16, p services.Protocol, kind services.Kind, backends ...int) services.Frontend {
		return services.Frontend{Address: addr, Port: port, Protocol: p, Kind: kind, Service: "default/tcp-echo", Mode: mode, Backends: backends}
	}
	s := State{
		Node:  node,
		Nodes: []Node{{Address: lbNode}, {Address: podNode, NextHop: podNodeMAC}},
		Tables: &services.Tables{
			TableSize: 251,
			Backends: []services.Backend{
				backend(pod, 8080, services.TCP, "worker", podNode),
				backend(pod, 8080, services.UDP, "worker", podNode),
				backend(pod, 90, services.TCP, "worker", podNode),
				backend(localPod, 7070, services.TCP, "lb", lbNode),
			},
			Frontends: []services.Frontend{
				frontend(vip, 8080, services.TCP, services.KindLoadBalancer, 0),
				frontend(vip, 8080, services.UDP, services.KindLoadBalancer, 1),
				frontend(vip, 9090, services.TCP, services.KindLoadBalancer, 2),
				frontend(vip, 7070, services.TCP, services.KindLoadBalancer, 3),
				frontend(vip, 6060, services.TCP, services.KindLoadBalancer),
				frontend(lbNode, 31000, services.TCP, services.KindNodePort, 0),
			},
		},
	}
	if node == "worker" {
		s.Pods = []Pod{{Address: pod, Device: 7, MAC: podMAC, NodeMAC: vethMAC}}
	} else {
		s.Pods = []Pod{{Address: localPod, Device: 8, MAC: podMAC, NodeMAC: vethMAC}}
	}
	return s
}

// packetSpec describes a TCP or UDP packet.
type packetSpec struct {
	src, dst       netip.Addr
	sport, dport   uint16
	udp            bool
	syn, ack, rst  bool
	fin            bool
	mss            uint16
	ttl            uint8
	payload        int
	fragment       bool
	ipOptions      bool
	geneve         *geneveSpec // around it
	srcMAC, dstMAC net.HardwareAddr
}

// geneveSpec is what stands around a packet on its way from LB node to pod node.
type geneveSpec struct {
	src, dst netip.Addr
	vni      uint32
	protocol uint16
	options  []byte
	critical bool
}

// dsrOption is the DSR option for the frontend, written down from the wire format.
func dsrOption(addr netip.Addr, port uint16) []byte {
	a := addr.As4()
	return []byte{0x01, 0x4b, 0x81, 2, a[0], a[1], a[2], a[3], byte(port >> 8), byte(port), 0, 0}
}

func (s packetSpec) ip() *layers.IPv4 {
	ip := &layers.IPv4{Version: 4, TTL: s.ttl, Protocol: layers.IPProtocolTCP, Flags: layers.IPv4DontFragment,
		SrcIP: s.src.AsSlice(), DstIP: s.dst.AsSlice(), Id: 4711}
	if s.ttl == 0 {
		ip.TTL = 64
	}
	if s.udp {
		ip.Protocol = layers.IPProtocolUDP
	}
	if s.fragment {
		ip.Flags, ip.FragOffset = layers.IPv4MoreFragments, 100
	}
	if s.ipOptions {
		ip.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
	}
	return ip
}

func (s packetSpec) frame(t testing.TB) []byte {
	t.Helper()
	src, dst := s.srcMAC, s.dstMAC
	if src == nil {
		src, dst = clientMAC, nodeMAC
	}
	eth := &layers.Ethernet{SrcMAC: src, DstMAC: dst, EthernetType: layers.EthernetTypeIPv4}
	ip := s.ip()
	payload := gopacket.Payload(make([]byte, s.payload))
	var l4 gopacket.SerializableLayer
	if s.udp {
		u := &layers.UDP{SrcPort: layers.UDPPort(s.sport), DstPort: layers.UDPPort(s.dport)}
		require.NoError(t, u.SetNetworkLayerForChecksum(ip))
		l4 = u
	} else {
		c := &layers.TCP{SrcPort: layers.TCPPort(s.sport), DstPort: layers.TCPPort(s.dport), SYN: s.syn, ACK: s.ack, RST: s.rst,
			FIN: s.fin, Seq: 1000, Window: 65535}
		if s.mss != 0 {
			c.Options = []layers.TCPOption{
				{OptionType: layers.TCPOptionKindNop},
				{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{byte(s.mss >> 8), byte(s.mss)}},
				{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2},
			}
		}
		require.NoError(t, c.SetNetworkLayerForChecksum(ip))
		l4 = c
	}
	inner := serialize(t, eth, ip, l4, payload)
	if s.geneve == nil {
		return inner
	}
	return s.geneve.wrap(t, inner)
}

func (g geneveSpec) wrap(t testing.TB, inner []byte) []byte {
	t.Helper()
	header := make([]byte, 8, 8+len(g.options)+len(inner))
	header[0] = byte(len(g.options) / 4)
	if g.critical {
		header[1] = 0x40
	}
	header[2], header[3] = byte(g.protocol>>8), byte(g.protocol)
	header[4], header[5], header[6] = byte(g.vni>>16), byte(g.vni>>8), byte(g.vni)
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: g.src.AsSlice(), DstIP: g.dst.AsSlice()}
	udp := &layers.UDP{SrcPort: 50000, DstPort: 6081}
	require.NoError(t, udp.SetNetworkLayerForChecksum(ip))
	eth := &layers.Ethernet{SrcMAC: nodeMAC, DstMAC: clientMAC, EthernetType: layers.EthernetTypeIPv4}
	return serialize(t, eth, ip, udp, gopacket.Payload(append(append(header, g.options...), inner...)))
}

func serialize(t testing.TB, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	require.NoError(t, gopacket.SerializeLayers(buffer, options, parts...))
	return buffer.Bytes()
}

// send runs a program on a frame and returns its action, the frame as it left, and the reasons counted.
func (d *DataPath) send(t testing.TB, direction Direction, frame []byte) (action uint32, out []byte, reasons map[string]uint64) {
	t.Helper()
	program := d.objects.FromNetwork
	if direction == FromPod {
		program = d.objects.FromPod
	}
	before := d.counts(t)
	run := &ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	action, err := program.Run(run)
	require.NoError(t, err)
	reasons = d.counts(t)
	for name, n := range before {
		if reasons[name] -= n; reasons[name] == 0 {
			delete(reasons, name)
		}
	}
	return action, run.DataOut, reasons
}

func (d *DataPath) counts(t testing.TB) map[string]uint64 {
	t.Helper()
	names, err := LoadNames()
	require.NoError(t, err)
	counters, err := d.Counters(names)
	require.NoError(t, err)
	counts := make(map[string]uint64)
	for _, c := range counters {
		if c.Packets > 0 {
			counts[names.Reason(c.Reason)] = c.Packets
		}
	}
	return counts
}

// dissected is a frame taken apart by a decoder that this project did not write.
type dissected struct {
	eth    *layers.Ethernet
	ip     *layers.IPv4
	tcp    *layers.TCP
	udp    *layers.UDP
	geneve *layers.Geneve
	inner  *dissected
}

// dissect decodes the frame and checks every checksum and length in it.
func dissect(t testing.TB, frame []byte) *dissected {
	t.Helper()
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	require.Nil(t, packet.ErrorLayer(), "%v", packet)
	var all, current *dissected
	for _, layer := range packet.Layers() {
		switch l := layer.(type) {
		case *layers.Ethernet:
			next := &dissected{eth: l}
			if current != nil {
				current.inner = next
			} else {
				all = next
			}
			current = next
		case *layers.IPv4:
			current.ip = l
			assert.EqualValues(t, len(l.Contents)+len(l.Payload), l.Length, "IPv4 length")
		case *layers.TCP:
			current.tcp = l
			require.NoError(t, l.SetNetworkLayerForChecksum(current.ip))
		case *layers.UDP:
			current.udp = l
			require.NoError(t, l.SetNetworkLayerForChecksum(current.ip))
			assert.EqualValues(t, len(l.Contents)+len(l.Payload), l.Length, "UDP length")
		case *layers.Geneve:
			current.geneve = l
		}
	}
	err, mismatches := packet.VerifyChecksums()
	require.NoError(t, err)
	for _, m := range mismatches {
		if udp, ok := m.Layer.(*layers.UDP); ok && udp.Checksum == 0 {
			continue // over IPv4 zero means none
		}
		assert.Fail(t, "wrong checksum", "%s: %v, correct is %#x", m.Layer.LayerType(), m, m.Correct)
	}
	return all
}

func (d *dissected) addresses() [2]string { return [2]string{d.ip.SrcIP.String(), d.ip.DstIP.String()} }

func (d *dissected) mss() uint16 {
	for _, o := range d.tcp.Options {
		if o.OptionType == layers.TCPOptionKindMSS {
			return uint16(o.OptionData[0])<<8 | uint16(o.OptionData[1])
		}
	}
	return 0
}

func mustNames(t testing.TB) *Names {
	t.Helper()
	names, err := LoadNames()
	require.NoError(t, err)
	return names
}

func addrPortOf(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

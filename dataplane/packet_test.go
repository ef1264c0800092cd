package dataplane

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// world is the packet tests' cluster: a client, an LB node, a pod node, and services. There is one of each mix of families.
type world struct {
	name                   string
	client, other          netip.Addr // outside; other is not in the source ranges
	vip, clusterIP         netip.Addr
	pod, second, localPod  netip.Addr   // pod and second are on the pod node
	podRanges              [2]string    // of LB node and pod node
	lbNode, podNode        netip.Addr   // of the services' family
	lbTunnel, podTunnel    netip.Addr   // where tunnels end
	lbAddresses, podsNodes []netip.Addr // all of both nodes
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// worlds are all mixes of families: of the services, over that of the fabric.
func worlds() []world {
	lb4, lb6, pod4, pod6 := addr("192.168.1.11"), addr("fd00:1::11"), addr("192.168.1.13"), addr("fd00:1::13")
	v4 := world{
		client: addr("192.168.1.202"), other: addr("192.168.1.203"), vip: addr("185.150.8.128"), clusterIP: addr("10.96.0.10"),
		pod: addr("10.0.1.2"), second: addr("10.0.1.3"), localPod: addr("10.0.0.2"), podRanges: [2]string{"10.0.0.0/24", "10.0.1.0/24"},
		lbNode: lb4, podNode: pod4,
	}
	v6 := world{
		client: addr("2001:db8:1::202"), other: addr("2001:db8:1::203"), vip: addr("2001:db8:8::128"), clusterIP: addr("fd00:96::10"),
		pod: addr("fd00:a:1::2"), second: addr("fd00:a:1::3"), localPod: addr("fd00:a:0::2"), podRanges: [2]string{"fd00:a:0::/64", "fd00:a:1::/64"},
		lbNode: lb6, podNode: pod6,
	}
	mix := func(name string, w world, lb, pod netip.Addr) world {
		w.name, w.lbTunnel, w.podTunnel = name, lb, pod
		w.lbAddresses, w.podsNodes = []netip.Addr{lb4, lb6}, []netip.Addr{pod4, pod6}
		if pod.Is6() { // tunnels are of the first one's family
			slices.Reverse(w.lbAddresses)
			slices.Reverse(w.podsNodes)
		}
		return w
	}
	return []world{
		mix("ipv4", v4, lb4, pod4), mix("ipv6", v6, lb6, pod6), mix("ipv6 over ipv4", v6, lb4, pod4), mix("ipv4 over ipv6", v4, lb6, pod6),
	}
}

// inWorlds runs a test in every world.
func inWorlds(t *testing.T, test func(t *testing.T, w world)) {
	for _, w := range worlds() {
		t.Run(w.name, func(t *testing.T) { test(t, w) })
	}
}

func mac(text string) net.HardwareAddr {
	a, err := net.ParseMAC(text)
	if err != nil {
		panic(err)
	}
	return a
}

var (
	clientMAC  = mac("02:00:c0:a8:01:ca")
	nodeMAC    = mac("02:00:c0:a8:01:0b")
	podNodeMAC = mac("02:00:c0:a8:01:0d")
	podMAC     = mac("02:00:0a:00:01:02")
	vethMAC    = mac("02:01:0a:00:01:02")
)

// podDevice is the node's end of all pods' veths in packet tests: programs run there with lo as their device.
const podDevice = 1

// Actions of programs (include/uapi/linux/pkt_cls.h, bpf.h).
const (
	actOK       = 0
	actShot     = 2
	actRedirect = 7
	xdpDrop     = 1
	xdpPass     = 2
	xdpTX       = 3
	xdpRedirect = 4
)

// Ports of the world's services at the VIP.
const (
	portEcho     = 8080 // TCP and UDP, the pod listens on the same
	portOther    = 9090 // the pod listens on 90
	portLocal    = 7070 // a pod of the LB node
	portNone     = 6060 // no endpoints at all
	portOnlyHere = 5050 // externalTrafficPolicy Local, endpoint on the pod node
	portRanges   = 4040 // loadBalancerSourceRanges let the client in, but not other
	portAffinity = 3030 // sessionAffinity, two backends on the pod node
	portTwo      = 2020 // two backends on the pod node
	portCluster  = 80   // at the ClusterIP, to the pod on 8080
	portNode     = 31000
)

// backends of the world, by index in its tables.
const (
	backendEcho = iota
	backendEchoUDP
	backendOther
	backendLocal
	backendTwoA
	backendTwoB
)

func (w world) tables(mode services.Mode) *services.Tables {
	backend := func(addr netip.Addr, port uint16, p services.Protocol, node string, tunnel netip.Addr) services.Backend {
		return services.Backend{Address: addr, Port: port, Protocol: p, Node: node, NodeAddress: tunnel, Weight: 1}
	}
	frontend := func(addr netip.Addr, port uint16, p services.Protocol, kind services.Kind, backends ...int) services.Frontend {
		return services.Frontend{Address: addr, Port: port, Protocol: p, Kind: kind, Service: "default/echo", PortName: p.String(),
			Mode: mode, Backends: backends}
	}
	tables := &services.Tables{
		Backends: []services.Backend{
			backend(w.pod, 8080, services.TCP, "worker", w.podTunnel),
			backend(w.pod, 8080, services.UDP, "worker", w.podTunnel),
			backend(w.pod, 90, services.TCP, "worker", w.podTunnel),
			backend(w.localPod, 7070, services.TCP, "lb", w.lbTunnel),
			backend(w.pod, 2020, services.TCP, "worker", w.podTunnel),
			backend(w.second, 2020, services.TCP, "worker", w.podTunnel),
		},
		Frontends: []services.Frontend{
			frontend(w.vip, portEcho, services.TCP, services.KindLoadBalancer, backendEcho),
			frontend(w.vip, portEcho, services.UDP, services.KindLoadBalancer, backendEchoUDP),
			frontend(w.vip, portOther, services.TCP, services.KindLoadBalancer, backendOther),
			frontend(w.vip, portLocal, services.TCP, services.KindLoadBalancer, backendLocal),
			frontend(w.vip, portNone, services.TCP, services.KindLoadBalancer),
			frontend(w.vip, portOnlyHere, services.TCP, services.KindLoadBalancer, backendEcho),
			frontend(w.vip, portRanges, services.TCP, services.KindLoadBalancer, backendEcho),
			frontend(w.vip, portAffinity, services.TCP, services.KindLoadBalancer, backendTwoA, backendTwoB),
			frontend(w.vip, portTwo, services.TCP, services.KindLoadBalancer, backendTwoA, backendTwoB),
			frontend(w.clusterIP, portCluster, services.TCP, services.KindClusterIP, backendEcho),
			frontend(w.clusterIP, portCluster, services.UDP, services.KindClusterIP, backendEchoUDP),
			frontend(w.clusterIP, portLocal, services.TCP, services.KindClusterIP, backendLocal),
			frontend(w.lbNode, portNode, services.TCP, services.KindNodePort, backendEcho),
			frontend(w.vip.Next(), portEcho, services.TCP, services.KindExternalIP, backendEcho),
			frontend(w.vip.Next(), portTwo, services.TCP, services.KindExternalIP, backendTwoA, backendTwoB),
		},
	}
	for i := range tables.Frontends {
		f := &tables.Frontends[i]
		f.PortName += "-" + f.AddrPort().String() // each is a service port of its own
		if f.Address == w.vip.Next() {
			f.Selection = services.SelectionRandom
		}
		switch f.Port {
		case portOnlyHere:
			f.LocalOnly = true
		case portRanges:
			f.SourceRanges = []netip.Prefix{netip.PrefixFrom(w.client, w.client.BitLen())}
		case portAffinity:
			f.Affinity = time.Hour
		}
	}
	return tables
}

// state is what a node of the world knows.
func (w world) state(node string, mode services.Mode) State {
	s := State{Node: node, Tables: w.tables(mode)}
	for i, n := range []struct {
		name      string
		addresses []netip.Addr
		mac       net.HardwareAddr
	}{{"lb", w.lbAddresses, nodeMAC}, {"worker", w.podsNodes, podNodeMAC}} {
		all := Node{Name: n.name, PodCIDRs: []netip.Prefix{netip.MustParsePrefix(w.podRanges[i])}}
		for _, a := range n.addresses {
			all.Addresses = append(all.Addresses, NodeAddress{Address: a, NextHop: n.mac})
		}
		s.Nodes = append(s.Nodes, all)
	}
	if node == "worker" {
		s.Pods = []Pod{
			{Addresses: []netip.Addr{w.pod}, Device: podDevice, MAC: podMAC, NodeMAC: vethMAC},
			{Addresses: []netip.Addr{w.second}, Device: podDevice, MAC: podMAC, NodeMAC: vethMAC},
		}
	} else {
		s.Pods = []Pod{{Addresses: []netip.Addr{w.localPod}, Device: podDevice, MAC: podMAC, NodeMAC: vethMAC}}
	}
	return s
}

// syn is a client's first packet to a port of the VIP.
func (w world) syn(port uint16) packetSpec {
	return packetSpec{src: w.client, dst: w.vip, sport: 40000, dport: port, syn: true, mss: 1460}
}

// around is Geneve from LB node to pod node with the given options.
func (w world) around(options []byte) *geneveSpec {
	return &geneveSpec{src: w.lbTunnel, dst: w.podTunnel, vni: 2, protocol: 0x6558, options: options, critical: options != nil}
}

// headers are the bytes of the world's IP header, and of what a tunnel with the DSR option adds.
func (w world) headers() (ip, tunnel int) {
	ip, tunnel = 40, 70+24
	if w.vip.Is4() {
		ip, tunnel = 20, 70+12
	}
	if w.podTunnel.Is4() {
		tunnel -= 20
	}
	return ip, tunnel
}

// result is what a program did with a frame.
type result struct {
	action  uint32
	frame   []byte
	reasons map[string]uint64
}

// send runs a program on a frame. From the network it comes in a frame to the node's own address.
func (d *DataPath) send(t testing.TB, point Direction, frame []byte) result {
	t.Helper()
	if point == FromNetwork || point == FromNetworkXDP {
		frame = slices.Clone(frame)
		copy(frame, nodeMAC)
	}
	return d.run(t, point, frame, nil)
}

// sendForwarded runs a program at egress on a frame that came to the node by another device.
func (d *DataPath) sendForwarded(t testing.TB, point Direction, frame []byte) result {
	t.Helper()
	return d.run(t, point, frame, &skbContext{IngressIfindex: 1})
}

// skbContext is the beginning of struct __sk_buff (include/uapi/linux/bpf.h), as far as a test sets it.
type skbContext struct {
	Zero           [36]byte
	IngressIfindex uint32
}

// run runs a program on a frame as it is.
func (d *DataPath) run(t testing.TB, point Direction, frame []byte, context *skbContext) result {
	t.Helper()
	program := map[Direction]*ebpf.Program{
		FromNetwork: d.objects.FromNetwork, FromNetworkXDP: d.objects.FromNetworkXdp, FromPod: d.objects.FromPod, FromNode: d.objects.FromNode,
		ToPod: d.objects.ToPod,
	}[point]
	before := d.counts(t)
	run := &ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	if context != nil {
		run.Context = context
	}
	action, err := program.Run(run)
	require.NoError(t, err)
	r := result{action, run.DataOut, d.counts(t)}
	for name, n := range before {
		if r.reasons[name] -= n; r.reasons[name] == 0 {
			delete(r.reasons, name)
		}
	}
	return r
}

// sendAll runs a program on packets, one after the other, and returns what it did with the last one.
func (d *DataPath) sendAll(t testing.TB, point Direction, packets ...packetSpec) result {
	t.Helper()
	var r result
	for _, p := range packets {
		r = d.send(t, point, p.frame(t))
	}
	return r
}

// loadNames reads the names once: counts are taken before and after every packet.
var loadNames = sync.OnceValues(LoadNames)

func (d *DataPath) counts(t testing.TB) map[string]uint64 {
	t.Helper()
	names, err := loadNames()
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

// only is one packet counted under one reason.
func only(reason string) map[string]uint64 { return map[string]uint64{reason: 1} }

// without returns the tables without some backends of a frontend's port.
func without(tables *services.Tables, port uint16, backends ...int) *services.Tables {
	for i := range tables.Frontends {
		if f := &tables.Frontends[i]; f.Port == port {
			f.Backends = slices.DeleteFunc(slices.Clone(f.Backends), func(b int) bool { return slices.Contains(backends, b) })
		}
	}
	return tables
}

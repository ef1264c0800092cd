package dataplane

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// fewEntries make maps that are quickly made.
var fewEntries = Sizes{
	Services: 64, Frontends: 256, Slots: 8192, Backends: 128, LocalBackends: 64, Pods: 64, Nodes: 64, Cluster: 64, Ranges: 256,
	Flows: 1024, FlowsUnconfirmed: 1024, SNATPorts: 1024, SNATPortsUnconfirmed: 1024, Replies: 1024, RepliesUnconfirmed: 1024,
	Affinities: 1024, Fragments: 1024, Events: 1 << 9, Hops: 1 << 16,
}

// stoppedClock stands still but for what is slept.
type stoppedClock struct {
	at    time.Time
	slept time.Duration
}

func (c *stoppedClock) now() time.Time { return c.at }

func (c *stoppedClock) sleep(d time.Duration) {
	c.at = c.at.Add(d)
	c.slept += d
}

// newMaps makes a node's maps, without programs, pinned nowhere.
func newMaps(t testing.TB, sizes Sizes) *DataPath {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes BPF maps")
	}
	require.NoError(t, rlimit.RemoveMemlock())
	config, err := Config{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Device: "lo", PinDir: "-", Sizes: sizes}.withDefaults()
	require.NoError(t, err)
	spec, err := specOf(config, &net.Interface{Index: 1})
	require.NoError(t, err)
	clear(spec.Programs)
	collection, err := ebpf.NewCollection(spec)
	require.NoError(t, err)
	d := &DataPath{}
	d.assign(collection)
	collection.Close()
	t.Cleanup(func() { d.Close() })
	return d
}

// again is the same maps in the hands of another process.
func (d *DataPath) again() *DataPath { return &DataPath{objects: d.objects, clock: d.clock} }

// nodeName and nodeAddr are those of the i-th node; all have both families.
func nodeName(i int) string { return fmt.Sprintf("node%d", i) }

func nodeAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}) }

func macOf(last int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, byte(last)} }

// nodesOf are some nodes.
func nodesOf(n int) []Node {
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i] = Node{
			Name:     nodeName(i),
			PodCIDRs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)},
			Addresses: []NodeAddress{
				{Address: nodeAddr(i), NextHop: macOf(i)},
				{Address: netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i+1))},
			},
		}
	}
	return nodes
}

// manyServices are services with some backends each on other nodes, and a LoadBalancer and a ClusterIP.
func manyServices(count, backends int) *services.Tables {
	t := &services.Tables{}
	for i := range count {
		one := oneService(i, backends)
		for f := range one.Frontends {
			for b := range one.Frontends[f].Backends {
				one.Frontends[f].Backends[b] += len(t.Backends)
			}
		}
		t.Frontends = append(t.Frontends, one.Frontends...)
		t.Backends = append(t.Backends, one.Backends...)
	}
	return t
}

// oneService is the i-th of them.
func oneService(i, backends int) *services.Tables {
	t := &services.Tables{}
	all := make([]int, backends)
	for b := range backends {
		n := i*16 + b
		t.Backends = append(t.Backends, services.Backend{
			Address: netip.AddrFrom4([4]byte{10, byte(1 + n>>16), byte(n >> 8), byte(n)}), Port: 8080, Protocol: services.TCP,
			Node: nodeName(1), NodeAddress: nodeAddr(1), Weight: 1,
		})
		all[b] = b
	}
	for _, f := range []services.Frontend{
		{Address: netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), Kind: services.KindLoadBalancer, Mode: services.ModeDSR},
		{Address: netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), Kind: services.KindClusterIP, Mode: services.ModeSNAT},
	} {
		f.Port, f.Protocol, f.PortName, f.Service = 80, services.TCP, "http", fmt.Sprintf("default/s%05d", i)
		f.Backends = append([]int(nil), all...)
		t.Frontends = append(t.Frontends, f)
	}
	return t
}

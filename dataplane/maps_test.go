package dataplane

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services/servicestest"
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

func macOf(last int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, byte(last)} }

// nodesOf are some nodes.
func nodesOf(n int) []Node {
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i] = Node{
			Name:     servicestest.NodeName(i),
			PodCIDRs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)},
			Addresses: []NodeAddress{
				{Address: servicestest.NodeAddr(i), NextHop: macOf(i)},
				{Address: netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i+1))},
			},
		}
	}
	return nodes
}

// randomState has random services, and most of the first node's pods.
func randomState(r *rand.Rand) State {
	s := State{Node: servicestest.NodeName(0), Nodes: nodesOf(2 + r.IntN(2)), Tables: servicestest.Random(r)}
	for _, b := range s.Tables.Backends {
		if b.Node == s.Node && r.IntN(8) > 0 {
			s.Pods = append(s.Pods, Pod{Addresses: []netip.Addr{b.Address}, Device: 2 + r.IntN(3), MAC: macOf(1), NodeMAC: macOf(2)})
		}
	}
	return s
}

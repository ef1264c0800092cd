package kube

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// soon is how long the agent may take to follow: a second, and for programs to be loaded on a busy machine.
const soon = 10 * time.Second

// node is a namespace with eth0, in which an agent runs. The test's thread is in it.
type node struct {
	*Agent
	namespace netns.NsHandle
	pins      string
	events    chan Event
	log       *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

func makeEth0(t *testing.T) netlink.Link {
	t.Helper()
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0", HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 11}}, PeerName: "peer0"}))
	for _, name := range []string{"peer0", "eth0", "lo"} {
		l, err := netlink.LinkByName(name)
		require.NoError(t, err)
		require.NoError(t, netlink.LinkSetUp(l))
	}
	eth0, err := netlink.LinkByName("eth0")
	require.NoError(t, err)
	return eth0
}

func addAddress(t *testing.T, l netlink.Link, text string) {
	t.Helper()
	a, err := netlink.ParseAddr(text)
	require.NoError(t, err)
	require.NoError(t, netlink.AddrAdd(l, a))
}

// newTestNode makes a namespace with eth0, and an agent in it that does not run.
func newTestNode(t *testing.T, change ...func(*Options)) *node {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace and loads BPF programs")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	ns, err := netns.New()
	require.NoError(t, err)
	t.Cleanup(func() { ns.Close() })
	addAddress(t, makeEth0(t), "192.0.2.11/24")
	bpffs := t.TempDir()
	require.NoError(t, unix.Mount("bpf", bpffs, "bpf", 0, ""))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(bpffs, unix.MNT_DETACH)) })
	config := DefaultConfig()
	config.Device, config.HealthzBindAddress = "eth0", ""
	n := &node{namespace: ns, pins: filepath.Join(bpffs, "node"), events: make(chan Event, 16), log: &syncBuffer{}}
	o := Options{Node: "n1", Config: config, Events: n.events, PinDir: n.pins, Log: slog.New(slog.NewTextHandler(n.log, nil))}
	for _, c := range change {
		c(&o)
	}
	n.Agent, err = New(o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, n.Close()) })
	return n
}

// runNode runs an agent that knows of itself, n1 at 192.0.2.11, and of n2 at 192.0.2.12.
func runNode(t *testing.T, change ...func(*Options)) *node {
	t.Helper()
	n := newTestNode(t, change...)
	n.tell("n1", "192.0.2.11")
	n.tell("n2", "192.0.2.12")
	n.events <- Event{Synced: true}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		if err := netns.Set(n.namespace); err != nil {
			ended <- err
			return
		}
		ended <- n.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
		if t.Failed() {
			t.Log(n.log.text())
		}
	})
	n.eventually(t, func() bool { return n.Healthy() == nil }, "it begins")
	return n
}

// tell tells the agent of a node.
func (n *node) tell(name, address string) {
	n.events <- Event{Node: &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.NodeSpec{PodCIDRs: []string{"10.244." + strings.TrimPrefix(name, "n") + ".0/24"}},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}},
	}}
}

// eventually asks on the test's own thread, which is in the node's namespace: require.Eventually asks on another.
func (n *node) eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(soon); !condition(); time.Sleep(10 * time.Millisecond) {
		require.True(t, time.Now().Before(end), what)
	}
}

// enter takes the thread of a subtest into the node's namespace.
func (n *node) enter(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the subtest
	require.NoError(t, netns.Set(n.namespace))
}

// programs are those attached to eth0's ingress.
func (n *node) programs(t *testing.T) []ebpf.ProgramID {
	t.Helper()
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		return nil
	}
	result, err := link.QueryPrograms(link.QueryOptions{Target: eth0.Index, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		t.Skip("needs TCX:", err)
	}
	var ids []ebpf.ProgramID
	for _, p := range result.Programs {
		ids = append(ids, p.ID)
	}
	return ids
}

// nextHop is what the data path has for a node's address.
func (n *node) nextHop(t *testing.T, address string) (net.HardwareAddr, bool) {
	t.Helper()
	m, err := ebpf.LoadPinnedMap(filepath.Join(n.pins, "maps", bpf.DatapathMapNodes), nil)
	require.NoError(t, err)
	defer m.Close()
	var key bpf.DatapathAddress
	var value bpf.DatapathNode
	for all := m.Iterate(); all.Next(&key, &value); {
		if key.Addr() == netip.MustParseAddr(address) {
			return value.NextHop[:], true
		}
	}
	return nil, false
}

// Another MTU, Ethernet address or node address: the programs are loaded anew for it, while the tables stay.
func TestGroundMoves(t *testing.T) {
	n := runNode(t)
	eth0, err := netlink.LinkByName("eth0")
	require.NoError(t, err)
	for _, test := range []struct {
		name   string
		change func() error
		says   string
	}{
		{"MTU", func() error { return netlink.LinkSetMTU(eth0, 1400) }, `mtu="1400, was 1500"`},
		{"Ethernet address", func() error { return netlink.LinkSetHardwareAddr(eth0, net.HardwareAddr{2, 0, 0, 0, 0, 0x80}) }, "was 02:00:00:00:00:0b"},
		{"address", func() error {
			n.tell("n1", "192.0.2.21")
			a, err := netlink.ParseAddr("192.0.2.11/24")
			require.NoError(t, err)
			require.NoError(t, netlink.AddrDel(eth0, a))
			addAddress(t, eth0, "192.0.2.21/24")
			return nil
		}, "addresses=\"[192.0.2.21], was [192.0.2.11]\""},
	} {
		t.Run(test.name, func(t *testing.T) {
			n.enter(t)
			before := n.programs(t)
			require.Len(t, before, 1)
			require.NoError(t, test.change())
			n.eventually(t, func() bool {
				now := n.programs(t)
				return len(now) == 1 && now[0] != before[0] && strings.Contains(n.log.text(), test.says)
			}, test.says)
			n.eventually(t, func() bool { return n.Healthy() == nil }, "healthy")
			_, known := n.nextHop(t, "192.0.2.12")
			assert.True(t, known, "the tables stay")
		})
	}
	n.eventually(t, func() bool {
		_, old := n.nextHop(t, "192.0.2.11")
		_, now := n.nextHop(t, "192.0.2.21")
		return now && !old
	}, "the tables have the node's new address")
}

// A device that goes makes the agent unhealthy; one of the same name that comes has the programs again.
func TestDeviceGoesAndComes(t *testing.T) {
	n := runNode(t)
	eth0, err := netlink.LinkByName("eth0")
	require.NoError(t, err)
	require.NoError(t, netlink.LinkDel(eth0))
	n.eventually(t, func() bool { return n.Healthy() != nil }, "not healthy without its device")
	assert.ErrorContains(t, n.Healthy(), "device eth0: ")
	assert.False(t, n.Synced())
	eth0 = makeEth0(t)
	addAddress(t, eth0, "192.0.2.11/24")
	n.eventually(t, func() bool { return n.Healthy() == nil && len(n.programs(t)) == 1 }, "attached to the new one")
	assert.Contains(t, n.log.text(), "index=")
	d, err := dataplane.Open(n.pins)
	require.NoError(t, err)
	defer d.Close()
	require.NoError(t, d.CheckAttached("eth0"))
}

// What someone else detaches is attached again; until then the agent's word is that it is not.
func TestDetached(t *testing.T) {
	n := runNode(t)
	eth0, err := net.InterfaceByName("eth0")
	require.NoError(t, err)
	l, err := link.LoadPinnedLink(filepath.Join(n.pins, "links", itoa(eth0.Index)), nil)
	if err != nil {
		t.Skip("needs TCX:", err)
	}
	require.NoError(t, l.Detach())
	require.NoError(t, l.Close())
	d, err := dataplane.Open(n.pins)
	require.NoError(t, err)
	defer d.Close()
	require.EqualError(t, d.CheckAttached("eth0"), "program from_network at device eth0: is not attached")
	require.NoError(t, netlink.LinkSetMTU(mustLink(t, "peer0"), 1400)) // any change makes it look
	n.eventually(t, func() bool { return len(n.programs(t)) == 1 && d.CheckAttached("eth0") == nil }, "attached again")
}

// A device that is down is said, and is no reason to end.
func TestDeviceDown(t *testing.T) {
	n := runNode(t)
	eth0 := mustLink(t, "eth0")
	require.NoError(t, netlink.LinkSetDown(eth0))
	n.eventually(t, func() bool { return n.Healthy() != nil }, "down")
	assert.EqualError(t, n.Healthy(), "device eth0: is down")
	require.NoError(t, netlink.LinkSetUp(eth0))
	n.eventually(t, func() bool { return n.Healthy() == nil }, "up again")
}

// One service too many, or with the longest names, is no reason not to be healthy: what fits is served, and who looks at the one that
// does not finds an Event.
func TestRefusedService(t *testing.T) {
	client := fake.NewClientset()
	n := runNode(t, func(o *Options) { o.Client, o.Config.Sizes.Frontends = client, 4 })
	label := func(c string) string { return strings.Repeat(c, 63) }
	for i, name := range []string{label("s"), "oldest", "youngest"} {
		n.events <- Event{Service: &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: label("n"), Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(time.Unix(int64([]int{2, 1, 3}[i]), 0))},
			Spec: corev1.ServiceSpec{
				Type: corev1.ServiceTypeClusterIP, ClusterIP: "172.20.60." + itoa(i+1), ClusterIPs: []string{"172.20.60." + itoa(i+1)},
				Ports: []corev1.ServicePort{{Name: label("p"), Port: 80, Protocol: corev1.ProtocolTCP}},
			},
		}}
	}
	n.eventually(t, func() bool { return n.Refused() == 1 }, "one is refused")
	require.NoError(t, n.Healthy())
	d, err := dataplane.Open(n.pins)
	require.NoError(t, err)
	defer d.Close()
	list, err := d.List()
	require.NoError(t, err)
	var served []string
	for _, l := range list {
		served = append(served, l.Service)
	}
	assert.ElementsMatch(t, []string{label("n") + "/" + label("s") + ":" + label("p") + "/TCP", label("n") + "/oldest:" + label("p") + "/TCP"}, served)
	n.eventually(t, func() bool {
		events, err := client.EventsV1().Events(label("n")).List(t.Context(), metav1.ListOptions{})
		return err == nil && len(events.Items) == 1 && events.Items[0].Regarding.Name == "youngest" &&
			strings.HasPrefix(events.Items[0].Note, "sizes.frontends: no room in map frontends with its 4 entries")
	}, "an Event")
	assert.Contains(t, n.log.text(), "map=frontends entries=4 capacity=4 raise=sizes.frontends")
	n.events <- Event{Service: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: label("n"), Name: "oldest"}}, Gone: true}
	require.Eventually(t, func() bool { return n.Refused() == 0 }, 2*resync, 10*time.Millisecond, "there is room, after a resync")
}

// The next hop to a node follows the kernel's neighbour table, well within a second.
func TestNextHopFollows(t *testing.T) {
	n := runNode(t)
	index := mustLink(t, "eth0").Attrs().Index
	for last, state := range map[byte]int{0x21: netlink.NUD_REACHABLE, 0x22: netlink.NUD_STALE, 0x23: netlink.NUD_PERMANENT} {
		mac := net.HardwareAddr{2, 0, 0, 0, 0, last}
		began := time.Now()
		require.NoError(t, netlink.NeighSet(&netlink.Neigh{LinkIndex: index, IP: net.IPv4(192, 0, 2, 12), State: state, HardwareAddr: mac}))
		n.eventually(t, func() bool { have, _ := n.nextHop(t, "192.0.2.12"); return bytes.Equal(have, mac) }, "the next hop is the new one")
		t.Logf("after %v", time.Since(began))
	}
	require.NoError(t, netlink.NeighSet(&netlink.Neigh{LinkIndex: index, IP: net.IPv4(192, 0, 2, 12), State: netlink.NUD_FAILED}))
	n.eventually(t, func() bool { have, _ := n.nextHop(t, "192.0.2.12"); return bytes.Equal(have, make([]byte, 6)) }, "the kernel is asked")
	assert.NoError(t, n.Healthy(), "with a single other node there is no telling whose fault it is")
	n.tell("n3", "192.0.2.13")
	n.eventually(t, func() bool { return len(n.Unreachable()) == 2 }, "nobody answers for the third one either")
	assert.EqualError(t, n.Healthy(), "no other node answers: 192.0.2.12, 192.0.2.13")
}

func mustLink(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	require.NoError(t, err)
	return l
}

func itoa(i int) string { return strconv.Itoa(i) }

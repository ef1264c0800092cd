package netns

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

func TestFrameByFrame(t *testing.T) {
	free, shaped := topologies.Shape{}, topologies.Shape{Rate: 1e9, Limit: topologies.LimitShape}
	before := topologies.Shape{Rate: 1e9} // of a plan from before there were limits
	policed := topologies.Shape{Rate: 1e9, Limit: topologies.LimitPolice}
	node := func(name string, toNode, fromNode topologies.Shape) topologies.Node {
		return topologies.Node{Name: name, ToNode: toNode, FromNode: fromNode}
	}
	for name, test := range map[string]struct {
		nodes []topologies.Node
		want  map[string]bool
	}{
		"nothing policed": {[]topologies.Node{node("a", free, free), node("b", shaped, before)}, map[string]bool{}},
		"to the node": {
			[]topologies.Node{node("a", policed, shaped), node("b", free, free), node("c", shaped, shaped), node("d", free, before)},
			map[string]bool{Fabric: true, "b": true},
		},
		"from the node": {
			[]topologies.Node{node("a", shaped, policed), node("b", shaped, free)}, map[string]bool{Fabric: true, "a": true, "b": true},
		},
	} {
		assert.Equal(t, test.want, frameByFrame(test.nodes), name)
	}
}

// unlimited is the talk's plan without any limit.
func unlimited(t *testing.T) *topologies.Plan {
	t.Helper()
	plan := talk(t)
	for i := range plan.Nodes {
		plan.Nodes[i].ToNode, plan.Nodes[i].FromNode = topologies.Shape{}, topologies.Shape{}
	}
	return plan
}

// policedShape is one that passes a burst of so many frames and then, in a test, hardly another.
func policedShape(frames int) topologies.Shape {
	overhead := topologies.DefaultOverhead
	return topologies.Shape{
		Rate: 1e3, Limit: topologies.LimitPolice, Burst: topologies.Size(frames * (superFrame + overhead)), Overhead: &overhead,
	}
}

const (
	superFrames = 20   // of a super-packet
	superFrame  = 1000 // bytes of each
)

// sendSuper sends a super-packet from one namespace to an address.
func sendSuper(t *testing.T, nw *Network, from string, to netip.Addr) {
	t.Helper()
	require.NoError(t, nw.Do(from, func() error {
		conn, err := net.Dial("udp4", netip.AddrPortFrom(to, 9).String())
		if err != nil {
			return err
		}
		defer conn.Close()
		raw, err := conn.(*net.UDPConn).SyscallConn()
		if err != nil {
			return err
		}
		const headers = 14 + 20 + 8
		if err := errors.Join(raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, superFrame-headers)
		}), err); err != nil {
			return err
		}
		_, err = conn.Write(make([]byte, superFrames*(superFrame-headers)))
		return err
	}))
}

// assertFrameByFrame sends a super-packet through a policer that holds credit for part of it, and looks how much has passed: of a
// super-packet it would be all or nothing.
func assertFrameByFrame(t *testing.T, nw *Network, from, node string, to netip.Addr, read func(toNode, fromNode shape.Stats) shape.Stats) {
	t.Helper()
	stats := func() shape.Stats {
		toNode, fromNode, err := nw.PortStats(node)
		require.NoError(t, err)
		return read(toNode, fromNode)
	}
	before := stats()
	sendSuper(t, nw, from, to)
	after := before
	require.Eventually(t, func() bool {
		after = stats()
		return after.Drops+after.Packets >= before.Drops+before.Packets+superFrames
	}, 5*time.Second, time.Millisecond, "%+v", &after)
	assert.GreaterOrEqual(t, after.Packets-before.Packets, uint64(5), "%s to %s: passed", from, node)
	assert.GreaterOrEqual(t, after.Drops-before.Drops, uint64(5), "%s to %s: dropped", from, node)
}

func ofToNode(toNode, _ shape.Stats) shape.Stats     { return toNode }
func ofFromNode(_, fromNode shape.Stats) shape.Stats { return fromNode }

// Into a policed port frames come one by one, whoever sends them: another node, a pod, the fabric itself, or the policed node.
func TestSuperPacketsToPolicedPort(t *testing.T) {
	const room = 10
	for name, test := range map[string]struct {
		from, to         string
		toNode, fromNode topologies.Shape // of the LB node
		read             func(toNode, fromNode shape.Stats) shape.Stats
	}{
		"node":        {"client", "lb", policedShape(room), topologies.Shape{}, ofToNode},
		"pod":         {"tcp-echo", "lb", policedShape(room), topologies.Shape{}, ofToNode},
		"fabric":      {Fabric, "lb", policedShape(room), topologies.Shape{}, ofToNode},
		"policed one": {"lb", "client", topologies.Shape{}, policedShape(room), ofFromNode},
	} {
		t.Run(name, func(t *testing.T) {
			plan := unlimited(t)
			i := 1
			require.Equal(t, "lb", plan.Nodes[i].Name)
			plan.Nodes[i].ToNode, plan.Nodes[i].FromNode = test.toNode, test.fromNode
			nw := up(t, plan, "test-policed", t.TempDir())
			n, err := nw.node(test.to)
			require.NoError(t, err)
			assertFrameByFrame(t, nw, test.from, "lb", n.Addresses[0].Addr(), test.read)
		})
	}
}

// segments is the most that a namespace's eth0 sends at once.
func segments(t *testing.T, nw *Network, ns string) uint32 {
	t.Helper()
	conn, err := nw.dial(ns)
	require.NoError(t, err)
	defer conn.Close()
	link, err := conn.LinkByName(nodeDevice)
	require.NoError(t, err)
	return link.Attrs().GSOMaxSegs
}

// A link that is policed while the network runs has the same said to all nodes, and to none once it is shaped again. The whole of it leaves
// nothing behind.
func TestReshapeToPolice(t *testing.T) {
	requireRoot(t)
	before := hostState(t)
	plan := unlimited(t)
	shaped := talk(t).Nodes[1].ToNode
	plan.Nodes[2].FromNode = shaped
	dir := t.TempDir()
	nw := up(t, plan, "test-to-police", dir)
	lb := plan.Nodes[1].Addresses[0].Addr()
	all := func() []uint32 {
		return []uint32{segments(t, nw, "client"), segments(t, nw, "lb"), segments(t, nw, "worker")}
	}
	super := []uint32{defaultSegments, defaultSegments, defaultSegments}
	require.Equal(t, super, all(), "as the kernel makes them")

	require.NoError(t, nw.Reshape("lb", policedShape(10), topologies.Shape{}))
	assert.Equal(t, []uint32{1, 1, defaultSegments}, all(), "what the worker sends its shaper cuts")
	assertFrameByFrame(t, nw, "client", "lb", lb, ofToNode)

	require.NoError(t, nw.Reshape("worker", topologies.Shape{}, topologies.Shape{}))
	assert.Equal(t, []uint32{1, 1, 1}, all(), "nothing cuts it any longer")
	require.NoError(t, nw.Reshape("worker", topologies.Shape{}, shaped))
	assert.Equal(t, []uint32{1, 1, defaultSegments}, all())

	require.NoError(t, nw.Reshape("lb", shaped, shaped))
	assert.Equal(t, super, all())
	dial(t, nw, "client", "lb", lb)
	toNode, fromNode, err := nw.PortStats("lb")
	require.NoError(t, err)
	assert.Equal(t, []topologies.Limit{topologies.LimitShape, topologies.LimitShape}, []topologies.Limit{toNode.Shape.Limit, fromNode.Shape.Limit})

	require.NoError(t, nw.Reshape("lb", policedShape(10), policedShape(10)))
	fabric, err := nw.dial(Fabric)
	require.NoError(t, err)
	programs, err := shape.Programs(fabric)
	fabric.Close()
	require.NoError(t, err)
	require.Len(t, programs, 2)
	require.NoError(t, down(t.Context(), dir, "test-to-police", nil))
	assert.Equal(t, before, hostState(t))
	for _, id := range programs {
		_, err := ebpf.NewProgramFromID(id)
		assert.ErrorIs(t, err, os.ErrNotExist, "program %d", id)
	}
}

package shape

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns/sandbox"
)

// TestMain runs the tests in a network namespace of their own, which is the fabric of all.
func TestMain(m *testing.M) { os.Exit(sandbox.Main(m)) }

const (
	fabricAddress = "10.0.0.1"
	nodeAddress   = "10.0.0.2"
)

// testWire is a wire between the tests' own namespace and a node's.
// settle waits until both ends carry packets, and lets them know each other: no test's first frame is lost, or asks who has an address.
// remove takes the wire away. A test that makes several does so between them.
// makeNode makes the node's namespace, on a thread that stays in it until the test ends.
func spec(rate topologies.Rate, queue, burst topologies.Size, overhead int) topologies.Shape {
	return topologies.Shape{Rate: rate, Limit: topologies.LimitShape, Queue: queue, Burst: burst, Overhead: &overhead}
}

// assertShape compares what was read with what was set; the kernel rounds the burst.
func assertShape(t *testing.T, want, got topologies.Shape) {
	t.Helper()
	assert.InDelta(t, int64(want.Burst), int64(got.Burst), 2+float64(want.Rate)/8*tick/1e9, "burst")
	got.Burst = want.Burst
	assert.Equal(t, want, got)
}

func TestSetAndRead(t *testing.T) {
	w := newWire(t)
	for _, c := range []struct {
		name             string
		toNode, fromNode topologies.Shape
	}{
		{"each on its own", spec(1e9, 500_000, 62_500, 24), spec(100e6, 10_000, 3_200, 38)},
		{"changed", spec(100e6, 7_000, 3_100, 0), spec(1e9, 1_000_000, 70_000, 24)},
		{"more than 32 bit", spec(100e9, 50_000_000, 6_250_000, 24), spec(100e9, 50_000_000, 6_250_000, 24)},
	} {
		require.NoError(t, w.Set(c.toNode, c.fromNode), c.name)
		toNode, fromNode, err := w.Read()
		require.NoError(t, err)
		assertShape(t, c.toNode, toNode.Shape)
		assertShape(t, c.fromNode, fromNode.Shape)
	}
	ifb, err := w.ifb()
	require.NoError(t, err)
	assert.Equal(t, "i-test", ifb.Attrs().Name)
	assert.Equal(t, "dsrlab:test:wire", ifb.Attrs().Alias)
	assert.EqualValues(t, 7, ifb.Attrs().Group)
}

func TestUnshaped(t *testing.T) {
	w := newWire(t)
	shaped := spec(100e6, 100_000, 3_200, 24)
	for range 2 { // it can be shaped again
		require.NoError(t, w.Set(shaped, shaped))
		w.send(t, w.toNode(t), 1, 100)
		require.NoError(t, w.Set(topologies.Shape{}, topologies.Shape{}))
		toNode, fromNode, err := w.Read()
		require.NoError(t, err)
		assert.Zero(t, toNode.Shape)
		assert.Zero(t, fromNode.Shape)
		assert.NotZero(t, toNode.Packets, "counted by the port")
		ifb, err := w.ifb()
		require.NoError(t, err)
		assert.Nil(t, ifb)
		filters, err := w.Conn.FilterList(w.Port, netlink.HANDLE_MIN_INGRESS)
		require.NoError(t, err)
		assert.Empty(t, filters)
		w.transfer(t, true, 10*time.Millisecond)
		w.transfer(t, false, 10*time.Millisecond)
	}
}

func TestBadShape(t *testing.T) {
	w := newWire(t)
	ok := spec(1e6, 10_000, 3_200, 24)
	for _, c := range []struct {
		toNode, fromNode topologies.Shape
		want             string
	}{
		{spec(1e6, -1, 1, 0), ok, "limit p-test towards the node: queue of -1 and burst of 1 bytes: " +
			"use a queue of 0 to 4294967295 and a burst of 1 to 4294967295"},
		{ok, spec(1e6, 1, 0, 0), "limit p-test from the node: queue of 1 and burst of 0 bytes: " +
			"use a queue of 0 to 4294967295 and a burst of 1 to 4294967295"},
		{ok, spec(1e6, 1, 1, 65536), "limit p-test from the node: overhead of 65536 bytes: use 0 to 65535"},
	} {
		assert.EqualError(t, w.Set(c.toNode, c.fromNode), c.want)
	}
}

func TestMissing(t *testing.T) {
	for _, err := range []error{unix.ENOENT, unix.EOPNOTSUPP} { // as tc and link say that they don't know a kind
		assert.EqualError(t, missing("the tbf qdisc", "modprobe sch_tbf", err),
			"this machine lacks the tbf qdisc ("+err.Error()+"): modprobe sch_tbf")
		assert.ErrorIs(t, missing("", "", err), err)
	}
	refused := missing("the tbf qdisc", "modprobe sch_tbf", unix.EPERM)
	assert.ErrorIs(t, refused, unix.EPERM)
	assert.NotContains(t, refused.Error(), "modprobe", "the module is there, and a right is not")
	var lacking *MissingError
	assert.NotErrorAs(t, missing("the tbf qdisc", "modprobe sch_tbf", unix.EINVAL), &lacking)
}

// toNode is a UDP socket in the fabric that sends to the node.
// send sends packets of so many bytes of payload; an answer that nobody listens there is no failure.
// bothWays runs a test towards the node and from it, each on a new wire.
func bothWays(t *testing.T, f func(t *testing.T, w *testWire, towards bool)) {
	t.Run("to node", func(t *testing.T) { f(t, newWire(t), true) })
	t.Run("from node", func(t *testing.T) { f(t, newWire(t), false) })
}

// A shallow queue drops what it has no room for, and says so; what waits is never more than the queue.
func TestQueueDrops(t *testing.T) {
	const packets, payload, frame = 200, 958, 1000
	queue := topologies.Size(10 * frame)
	bothWays(t, func(t *testing.T, w *testWire, towards bool) {
		slow := spec(1e5, queue, 1600, 24) // 80 ms for each frame: most of them come before the tenth has left, on a busy machine too
		require.NoError(t, w.Set(slow, slow))
		conn := w.fromNode(t)
		if towards {
			conn = w.toNode(t)
		}
		w.send(t, conn, packets, payload)
		stats := w.read(t, towards)
		assert.GreaterOrEqual(t, stats.Drops, uint64(packets/2))
		assert.NotZero(t, stats.Overlimits)
		assert.LessOrEqual(t, stats.Backlog, uint64(queue))
		assert.LessOrEqual(t, stats.Packets+stats.Drops+stats.Backlog/frame, uint64(packets+10), "beside a few for ARP and ICMP")
	})
}

// Each small frame costs its overhead: without it 4000 frames of 64 bytes would take 205 ms on 10 Mbit/s.
func TestOverheadOfEachFrame(t *testing.T) {
	const packets, payload, frame, overhead, burst, rate = 4000, 22, 64, 24, 1600, 10e6
	bothWays(t, func(t *testing.T, w *testWire, towards bool) {
		deep := spec(rate, 1_000_000, burst, overhead)
		require.NoError(t, w.Set(deep, deep))
		conn := w.fromNode(t)
		if towards {
			conn = w.toNode(t)
		}
		before := w.read(t, towards).Packets
		start := time.Now()
		w.send(t, conn, packets, payload)
		require.Eventually(t, func() bool { return w.read(t, towards).Packets >= before+packets }, 30*time.Second, time.Millisecond)
		least := time.Duration((packets*(frame+overhead) - burst - overhead) * 8 / rate * float64(time.Second))
		assert.GreaterOrEqual(t, time.Since(start), least)
		assert.Zero(t, w.read(t, towards).Drops)
	})
}

// A super-packet queues as the frames that it is made of: those that the queue has room for pass, and the others are dropped.
func TestSuperPacketsAreCut(t *testing.T) {
	const frames, room, payload, frame = 20, 8, 958, 1000
	bothWays(t, func(t *testing.T, w *testWire, towards bool) {
		wire := spec(1e6, room*frame, 2*frames*frame, 24) // all of it could pass at once
		require.NoError(t, w.Set(wire, wire))
		conn := w.fromNode(t)
		if towards {
			conn = w.toNode(t)
		}
		raw, err := conn.(*net.UDPConn).SyscallConn()
		require.NoError(t, err)
		require.NoError(t, errors.Join(raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, payload)
		}), err))
		before := w.read(t, towards)
		w.send(t, conn, 1, frames*payload)
		var after Stats
		require.Eventually(t, func() bool {
			after = w.read(t, towards)
			return after.Drops-before.Drops >= frames-room && after.Backlog == 0
		}, 20*time.Second, time.Millisecond)
		assert.InDelta(t, room+2, after.Packets-before.Packets, 2, "passed, beside a few of ARP and MLD")
		assert.InDelta(t, (room+0.25)*frame, after.Bytes-before.Bytes, frame/4)
		assert.EqualValues(t, frames-room, after.Drops-before.Drops, "dropped")
	})
}

// One TCP flow has at most what Ethernet leaves of the rate: 1448 of 1538 bytes, 47 of 50 Mbit/s, which any machine carries. How near it
// comes is the machine's affair, so it is only logged.
func TestPayloadRate(t *testing.T) {
	const rate, mtu, overhead = 50e6, 1500, 24
	const ceiling = rate * (mtu - 52) / (mtu + 14 + overhead)
	wire := spec(rate, 500_000, 62_500, overhead)
	bothWays(t, func(t *testing.T, w *testWire, towards bool) {
		require.NoError(t, w.Set(wire, wire))
		received, took := w.transfer(t, towards, time.Second)
		stats := w.read(t, towards)
		t.Logf("%.1f of at most %.1f Mbit/s, %d drops", float64(received)*8/took.Seconds()/1e6, ceiling/1e6, stats.Drops)
		assert.LessOrEqual(t, float64(received)*8, ceiling*took.Seconds()+float64(wire.Burst+wire.Queue)*8)
		assert.NotZero(t, stats.Overlimits, "the rate was the limit")
		assert.Greater(t, stats.Bytes, uint64(received), "all of it went through the bucket")
		assert.InDelta(t, float64(received)/(mtu-52), float64(stats.Packets), float64(stats.Packets)/10, "frame by frame")
	})
}

// cubic is what the ceiling is for: bbr, which may be the host's default, leaves some of it.
// transfer sends as much as it can by TCP for some time, and returns what came, and between which times.

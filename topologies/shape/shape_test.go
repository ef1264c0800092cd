package shape

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns/sandbox"
	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

// TestMain runs the tests in a network namespace of their own, which is the fabric of all.
func TestMain(m *testing.M) { os.Exit(sandbox.Main(m)) }

const (
	fabricAddress = "10.0.0.1"
	nodeAddress   = "10.0.0.2"
)

// testWire is a wire between the tests' own namespace and a node's.
type testWire struct {
	Wire
	node *rtnl.Conn
	// inNode runs f inside the node's namespace.
	inNode func(f func() error) error
}

func newWire(t testing.TB) *testWire {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	fabric, err := rtnl.Dial()
	require.NoError(t, err)
	t.Cleanup(fabric.Close)
	w := &testWire{Wire: Wire{Conn: fabric, Alias: "dsrlab:test:wire", Group: 7}}
	ns := w.makeNode(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "p-test"
	port := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}
	require.NoError(t, fabric.LinkAdd(port))
	w.Port = port
	t.Cleanup(w.remove)
	eth0, err := w.node.LinkByName("eth0")
	require.NoError(t, err)
	for _, end := range []struct {
		conn    *rtnl.Conn
		link    netlink.Link
		address string
	}{{fabric, port, fabricAddress}, {w.node, eth0, nodeAddress}} {
		require.NoError(t, end.conn.Raise(end.link, w.Alias))
		address, err := netlink.ParseAddr(end.address + "/24")
		require.NoError(t, err)
		require.NoError(t, end.conn.AddrAdd(end.link, address))
	}
	w.settle(t)
	return w
}

// settle waits until both ends carry packets, and lets them know each other: no test's first frame is lost, or asks who has an address.
func (w *testWire) settle(t testing.TB) {
	t.Helper()
	var ends [2]netlink.Link
	require.Eventually(t, func() (up bool) {
		var err [2]error
		ends[0], err[0] = w.Conn.LinkByName(w.name())
		ends[1], err[1] = w.node.LinkByName("eth0")
		return err == [2]error{} && ends[0].Attrs().OperState == netlink.OperUp && ends[1].Attrs().OperState == netlink.OperUp
	}, 5*time.Second, time.Millisecond)
	for _, end := range []struct {
		conn       *rtnl.Conn
		link, peer netlink.Link
		address    string // of the peer
	}{{w.Conn, ends[0], ends[1], nodeAddress}, {w.node, ends[1], ends[0], fabricAddress}} {
		require.NoError(t, end.conn.NeighSet(&netlink.Neigh{
			LinkIndex: end.link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(end.address), HardwareAddr: end.peer.Attrs().HardwareAddr,
		}))
	}
}

// remove takes the wire away. A test that makes several does so between them.
func (w *testWire) remove() {
	_ = w.Conn.LinkDel(w.Port) // it may be gone
	if ifb, err := w.ifb(); err == nil && ifb != nil {
		_ = w.Conn.LinkDel(ifb)
	}
}

// makeNode makes the node's namespace, on a thread that stays in it until the test ends.
func (w *testWire) makeNode(t testing.TB) (ns int) {
	t.Helper()
	work, done := make(chan func()), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never given back
		for f := range work {
			f()
		}
	}()
	t.Cleanup(func() {
		close(work)
		<-done
	})
	w.inNode = func(f func() error) error {
		result := make(chan error, 1)
		work <- func() { result <- f() }
		return <-result
	}
	require.NoError(t, w.inNode(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if ns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		w.node, err = rtnl.Dial()
		return err
	}))
	t.Cleanup(func() {
		w.node.Close()
		unix.Close(ns)
	})
	return ns
}

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
	var lacking *MissingError
	assert.NotErrorAs(t, missing("the tbf qdisc", "modprobe sch_tbf", unix.EPERM), &lacking)
}

// toNode is a UDP socket in the fabric that sends to the node.
func (w *testWire) toNode(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("udp4", nodeAddress+":9")
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (w *testWire) fromNode(t *testing.T) (conn net.Conn) {
	t.Helper()
	require.NoError(t, w.inNode(func() (err error) {
		conn, err = net.Dial("udp4", fabricAddress+":9")
		return err
	}))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// send sends packets of so many bytes of payload; an answer that nobody listens there is no failure.
func (w *testWire) send(t *testing.T, conn net.Conn, packets, payload int) {
	t.Helper()
	for sent := 0; sent < packets; {
		if _, err := conn.Write(make([]byte, payload)); err == nil {
			sent++
		}
	}
}

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

func (w *testWire) read(t *testing.T, towards bool) Stats {
	t.Helper()
	toNode, fromNode, err := w.Read()
	require.NoError(t, err)
	if towards {
		return toNode
	}
	return fromNode
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
func TestGoodput(t *testing.T) {
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
func cubic(_, _ string, raw syscall.RawConn) (err error) {
	return errors.Join(raw.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	}), err)
}

// transfer sends as much as it can by TCP for some time, and returns what came, and between which times.
func (w *testWire) transfer(t *testing.T, towards bool, duration time.Duration) (received int64, took time.Duration) {
	t.Helper()
	var listener net.Listener
	listen := func(address string) func() error {
		return func() (err error) {
			listener, err = net.Listen("tcp4", address+":0")
			return err
		}
	}
	var sender net.Conn
	dial := func() (err error) {
		dialer := net.Dialer{Timeout: 20 * time.Second, Control: cubic}
		sender, err = dialer.Dial("tcp4", listener.Addr().String())
		return err
	}
	if towards {
		require.NoError(t, w.inNode(listen(nodeAddress)))
		require.NoError(t, dial())
	} else {
		require.NoError(t, listen(fabricAddress)())
		require.NoError(t, w.inNode(dial))
	}
	defer listener.Close()
	receiver, err := listener.Accept()
	require.NoError(t, err)
	defer receiver.Close()
	sent := make(chan error, 1)
	go func() {
		defer sender.Close()
		block := make([]byte, 256<<10)
		for end := time.Now().Add(duration); time.Now().Before(end); {
			if _, err := sender.Write(block); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	start := time.Now()
	received, err = io.Copy(io.Discard, receiver)
	require.NoError(t, err)
	took = time.Since(start)
	require.NoError(t, <-sent)
	return received, took
}

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

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

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

func (w *testWire) remove() {
	_ = w.Conn.LinkDel(w.Port) // it may be gone
	if ifb, err := w.ifb(); err == nil && ifb != nil {
		_ = w.Conn.LinkDel(ifb)
	}
}

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

func (w *testWire) send(t *testing.T, conn net.Conn, packets, payload int) {
	t.Helper()
	for sent := 0; sent < packets; {
		if _, err := conn.Write(make([]byte, payload)); err == nil {
			sent++
		}
	}
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

func cubic(_, _ string, raw syscall.RawConn) (err error) {
	return errors.Join(raw.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	}), err)
}

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

package rules

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/topologies/netns/sandbox"
)

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m)) }

// Addresses of the tests: the client's, another one that it may not use, and the load balancer's.
const (
	clientAddress, clientAddress6 = "192.0.2.10", "2001:db8::10"
	forged                        = "198.51.100.9"
	vip, vip6                     = "203.0.113.1", "2001:db8:1::1"
)

// client runs functions in a network namespace whose eth0 is a port of the bridge br0 here, where packets to any address are led.
type client struct {
	t    *testing.T
	work chan func()
}

// newClient makes both; they go when the test ends.
func newClient(t *testing.T) *client {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	for _, setting := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		require.NoError(t, os.WriteFile("/proc/sys/net/"+setting, []byte("1"), 0o644))
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	require.NoError(t, netlink.LinkAdd(bridge))
	t.Cleanup(func() { assert.NoError(t, netlink.LinkDel(bridge)) })
	c := &client{t: t, work: make(chan func())}
	made := make(chan netns.NsHandle)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns := netns.None()
		if unix.Unshare(unix.CLONE_NEWNET) == nil {
			ns, _ = netns.GetFromPath("/proc/thread-self/ns/net")
		}
		made <- ns
		for do := range c.work {
			do()
		}
	}()
	ns := <-made
	require.True(t, ns.IsOpen())
	defer ns.Close()
	t.Cleanup(func() { close(c.work) })
	port := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "port", MasterIndex: bridge.Index}, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}
	require.NoError(t, netlink.LinkAdd(port))
	t.Cleanup(func() { assert.NoError(t, netlink.LinkDel(port)) }) // the kernel is done with a namespace some time after its last thread
	addAddresses(t, "br0", "192.0.2.1/24", "2001:db8::1/64")
	up(t, "lo", "port", "br0")
	c.in(func() {
		addAddresses(t, "eth0", clientAddress+"/24", clientAddress6+"/64", forged+"/32")
		up(t, "lo", "eth0")
		for _, gateway := range []string{"192.0.2.1", "2001:db8::1"} {
			require.NoError(t, netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(gateway)}))
		}
	})
	require.NoError(t, netlink.RouteAdd(&netlink.Route{LinkIndex: bridge.Index, Dst: netlink.NewIPNet(net.ParseIP(forged))}))
	return c
}

// in runs do in the client's namespace.
func (c *client) in(do func()) {
	c.t.Helper()
	done := make(chan struct{})
	c.work <- func() { defer close(done); do() }
	<-done
}

func up(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		link, err := netlink.LinkByName(name)
		require.NoError(t, err)
		require.NoError(t, netlink.LinkSetUp(link))
	}
}

func addAddresses(t *testing.T, device string, all ...string) {
	t.Helper()
	link, err := netlink.LinkByName(device)
	require.NoError(t, err)
	for _, text := range all {
		a, err := netlink.ParseAddr(text)
		require.NoError(t, err)
		a.Flags = unix.IFA_F_NODAD
		require.NoError(t, netlink.AddrAdd(link, a))
	}
}

// serve answers each connection to address with the address of the server and that of the client.
func serve(t *testing.T, address string) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			seen := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
			_, _ = fmt.Fprintf(conn, "%s saw %s", listener.Addr(), seen)
			_ = conn.Close()
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String())
}

// ask connects once.
func (c *client) ask(to string) (answer string, err error) {
	c.in(func() {
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", to, 10*time.Second); err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		var all []byte
		all, err = io.ReadAll(conn)
		answer = string(all)
	})
	return answer, err
}

func tables(t *testing.T) (names []string) {
	t.Helper()
	conn, err := nftables.New()
	require.NoError(t, err)
	all, err := conn.ListTables()
	require.NoError(t, err)
	for _, table := range all {
		names = append(names, table.Name)
	}
	return names
}

// Connections are spread over the targets and keep the client's address; a second call replaces what the first one made.
func TestNAT(t *testing.T) {
	c := newClient(t)
	one, two := serve(t, "192.0.2.1:8001"), serve(t, "192.0.2.1:8002")
	six := serve(t, "[2001:db8::1]:8003")
	at := netip.MustParseAddrPort(vip + ":80")
	t.Cleanup(func() { assert.NoError(t, Remove()) })

	require.NoError(t, NAT([]Listener{
		{Address: at, Protocol: services.TCP, Targets: []netip.AddrPort{one, two}},
		{Address: netip.MustParseAddrPort("[" + vip6 + "]:80"), Protocol: services.TCP, Targets: []netip.AddrPort{six}},
	}))
	seen := map[string]int{}
	for range 100 {
		answer, err := c.ask(vip + ":80")
		require.NoError(t, err)
		seen[answer]++
	}
	// Of 100 connections 50 are expected at each, with a deviation of 5: 20 is six of them away.
	assert.Len(t, seen, 2)
	assert.GreaterOrEqual(t, seen["192.0.2.1:8001 saw "+clientAddress], 20)
	assert.GreaterOrEqual(t, seen["192.0.2.1:8002 saw "+clientAddress], 20)
	answer, err := c.ask("[" + vip6 + "]:80")
	require.NoError(t, err)
	assert.Equal(t, "[2001:db8::1]:8003 saw "+clientAddress6, answer)

	require.NoError(t, NAT([]Listener{{Address: at, Protocol: services.TCP, Targets: []netip.AddrPort{two}}}))
	for range 20 {
		answer, err := c.ask(vip + ":80")
		require.NoError(t, err)
		assert.Equal(t, "192.0.2.1:8002 saw "+clientAddress, answer)
	}
	require.NoError(t, Remove())
	assert.Empty(t, tables(t))
	require.NoError(t, Remove(), "nothing to remove")
}

// What a port may not send is dropped and counted; all else passes.
func TestProtect(t *testing.T) {
	c := newClient(t)
	none, err := Drops()
	require.NoError(t, err)
	assert.Nil(t, none)
	received, err := net.ListenPacket("udp4", "192.0.2.1:9000")
	require.NoError(t, err)
	defer received.Close()
	send := func(from, what string) {
		c.in(func() {
			conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP("192.0.2.1"), Port: 9000})
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, what)
			require.NoError(t, err)
		})
	}
	receive := func() string {
		buffer := make([]byte, 100)
		require.NoError(t, received.SetReadDeadline(time.Now().Add(10*time.Second)))
		n, _, err := received.ReadFrom(buffer)
		require.NoError(t, err)
		return string(buffer[:n])
	}
	send(forged, "before")
	assert.Equal(t, "before", receive())

	port := Port{Node: "n1", Device: "port", Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64")}}
	require.NoError(t, Protect([]Port{port}))
	t.Cleanup(func() { assert.NoError(t, Unprotect()) })
	for range 3 {
		send(forged, "forged")
	}
	send(clientAddress, "own") // behind the others on the same wire
	assert.Equal(t, "own", receive())
	drops, err := Drops()
	require.NoError(t, err)
	assert.Equal(t, map[string]uint64{"n1": 3}, drops)
	assert.Equal(t, []string{tableProtect}, tables(t))

	require.NoError(t, Protect([]Port{port}))
	drops, err = Drops()
	require.NoError(t, err)
	assert.Equal(t, map[string]uint64{"n1": 0}, drops, "it begins to count anew")
	require.NoError(t, Unprotect())
	assert.Empty(t, tables(t))
	send(forged, "after")
	assert.Equal(t, "after", receive())
}

// Answers of a target get the mark, and nothing else does.
func TestReturn(t *testing.T) {
	c := newClient(t)
	t.Cleanup(func() { assert.NoError(t, Remove()) })
	sender := Sender{Device: "port", Address: netip.MustParseAddr(clientAddress), Ports: []SenderPort{{services.UDP, 5000}}}
	require.NoError(t, Return([]Sender{sender}, 7))
	received, err := net.ListenPacket("udp4", "192.0.2.1:9000")
	require.NoError(t, err)
	defer received.Close()
	raw, err := received.(*net.UDPConn).SyscallConn()
	require.NoError(t, err)
	var optionErr error
	require.NoError(t, raw.Control(func(fd uintptr) { optionErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVMARK, 1) }))
	if optionErr != nil {
		t.Skip("needs SO_RCVMARK, Linux 5.19: ", optionErr)
	}
	for _, test := range []struct{ port, mark int }{{5000, 7}, {5001, 0}} {
		c.in(func() {
			conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(clientAddress), Port: test.port}, &net.UDPAddr{IP: net.ParseIP("192.0.2.1"), Port: 9000})
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, "x")
			require.NoError(t, err)
		})
		require.NoError(t, received.SetReadDeadline(time.Now().Add(10*time.Second)))
		buffer, control := make([]byte, 100), make([]byte, 100)
		_, n, _, _, err := received.(*net.UDPConn).ReadMsgUDP(buffer, control)
		require.NoError(t, err)
		messages, err := unix.ParseSocketControlMessage(control[:n])
		require.NoError(t, err)
		mark := 0
		for _, m := range messages {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_MARK {
				mark = int(m.Data[0])
			}
		}
		assert.Equal(t, test.mark, mark, "from port %d", test.port)
	}
}

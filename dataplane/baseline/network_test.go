package baseline

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// network is a client, an LB node with a pod, and a worker with two pods, on one bridge, each a network namespace without a
// name. They go away with their file descriptors, however the test ends.
type network struct {
	t                  *testing.T
	client, lb, worker *host
	pods               []*host
}

// host is one network namespace.
type host struct {
	t       *testing.T
	name    string
	ns      netns.NsHandle
	netlink *netlink.Handle
}

const vip, vip6 = "203.0.113.1", "2001:db8:1::1"

// newNetwork builds it, with an echo server for TCP and UDP on port 8080 of each pod.
func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{t: t, client: newHost(t, "client"), lb: newHost(t, "lb"), worker: newHost(t, "worker")}
	fabric := newHost(t, "fabric")
	fabric.bridge("br0")
	for _, h := range []*host{n.client, n.lb, n.worker} {
		fabric.wire(h, h.name, "br0")
		// Requests leave by the device they came in by: to tell clients so is wrong after DNAT, and uses up the rate of ICMP errors.
		for name, value := range map[string]string{
			"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1",
			"net/ipv4/conf/all/send_redirects": "0", "net/ipv4/conf/eth0/send_redirects": "0",
		} {
			h.sysctl(name, value)
		}
	}
	n.client.address("eth0", "192.0.2.10/24", "2001:db8::10/64")
	n.lb.address("eth0", "192.0.2.11/24", "2001:db8::11/64")
	n.worker.address("eth0", "192.0.2.13/24", "2001:db8::13/64")
	for _, node := range []*host{n.lb, n.worker} {
		node.bridge("cni0")
	}
	n.lb.address("cni0", "10.0.0.1/24", "fd00::1/64")
	n.worker.address("cni0", "10.0.1.1/24", "fd00:1::1/64")
	n.addPod(n.lb, "lb-pod", "10.0.0.2/24", "fd00::2/64")
	n.addPod(n.worker, "worker-pod-1", "10.0.1.2/24", "fd00:1::2/64")
	n.addPod(n.worker, "worker-pod-2", "10.0.1.3/24", "fd00:1::3/64")

	n.client.route(vip+"/32", "192.0.2.11")
	n.client.route(vip6+"/128", "2001:db8::11")
	for _, h := range []*host{n.client, n.worker} {
		h.route("10.0.0.0/24", "192.0.2.11")
		h.route("fd00::/64", "2001:db8::11")
	}
	for _, h := range []*host{n.client, n.lb} {
		h.route("10.0.1.0/24", "192.0.2.13")
		h.route("fd00:1::/64", "2001:db8::13")
	}
	n.lb.route("0.0.0.0/0", "192.0.2.13") // what is not translated is forwarded, and can be refused there
	n.lb.route("::/0", "2001:db8::13")
	return n
}

// newHost makes a namespace with its loopback up.
func newHost(t *testing.T, name string) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	h := &host{t: t, name: name}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- err
			return
		}
		var err error
		h.ns, err = netns.GetFromPath("/proc/thread-self/ns/net")
		made <- err
	}()
	require.NoError(t, <-made)
	t.Cleanup(func() { _ = h.ns.Close() })
	var err error
	h.netlink, err = netlink.NewHandleAt(h.ns)
	require.NoError(t, err)
	t.Cleanup(h.netlink.Close)
	h.sysctl("net/ipv6/conf/default/accept_dad", "0") // addresses can be used at once
	h.up("lo")
	return h
}

// in runs do on a thread in the namespace.
func (h *host) in(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked, as above
		if err := unix.Setns(int(h.ns), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

func (h *host) sysctl(name, value string) {
	h.t.Helper()
	require.NoError(h.t, h.in(func() error { return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644) }))
}

func (h *host) link(name string) netlink.Link {
	h.t.Helper()
	link, err := h.netlink.LinkByName(name)
	require.NoError(h.t, err)
	return link
}

func (h *host) up(name string) {
	h.t.Helper()
	require.NoError(h.t, h.netlink.LinkSetUp(h.link(name)))
}

func (h *host) bridge(name string) {
	h.t.Helper()
	require.NoError(h.t, h.netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}))
	h.up(name)
}

// wire connects a port of h's bridge with eth0 of another host.
func (h *host) wire(to *host, port, bridge string) {
	h.t.Helper()
	attributes := netlink.LinkAttrs{Name: port, MasterIndex: h.link(bridge).Attrs().Index}
	require.NoError(h.t, h.netlink.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: "eth0", PeerNamespace: netlink.NsFd(to.ns)}))
	h.up(port)
	to.up("eth0")
}

func (h *host) address(device string, prefixes ...string) {
	h.t.Helper()
	for _, prefix := range prefixes {
		a, err := netlink.ParseAddr(prefix)
		require.NoError(h.t, err)
		a.Flags = unix.IFA_F_NODAD
		require.NoError(h.t, h.netlink.AddrAdd(h.link(device), a))
	}
}

func (h *host) route(to, via string) {
	h.t.Helper()
	destination, err := netlink.ParseIPNet(to)
	require.NoError(h.t, err)
	require.NoError(h.t, h.netlink.RouteAdd(&netlink.Route{Dst: destination, Gw: net.ParseIP(via)}), "%s: route to %s", h.name, to)
}

// addPod makes a pod on a node's bridge, with its servers.
func (n *network) addPod(node *host, name string, prefixes ...string) {
	n.t.Helper()
	pod := newHost(n.t, name)
	n.pods = append(n.pods, pod)
	node.wire(pod, name, "cni0")
	pod.address("eth0", prefixes...)
	for _, prefix := range prefixes {
		gateway := netip.MustParsePrefix(prefix).Masked().Addr().Next()
		pod.route(netip.PrefixFrom(gateway, 0).Masked().String(), gateway.String())
	}
	pod.serve()
}

// serve answers each TCP connection and each UDP packet with the name of the pod and the address it saw.
func (h *host) serve() {
	h.t.Helper()
	var listener net.Listener
	var packets net.PacketConn
	require.NoError(h.t, h.in(func() (err error) {
		if listener, err = net.Listen("tcp", ":8080"); err != nil {
			return err
		}
		packets, err = net.ListenPacket("udp", ":8080")
		return err
	}))
	h.t.Cleanup(func() { _ = listener.Close(); _ = packets.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(conn, "%s %s\n", h.name, conn.RemoteAddr())
			_ = conn.Close()
		}
	}()
	go func() {
		buffer := make([]byte, 100)
		for {
			_, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(fmt.Appendf(nil, "%s %s\n", h.name, from), from)
		}
	}()
}

// answer is what a server said: who it is and whom it saw.
type answer struct {
	pod  string
	seen netip.AddrPort
}

// ask connects once, on a new socket of the host.
func (h *host) ask(protocol, to string, patience time.Duration) (answer, error) {
	var conn net.Conn
	err := h.in(func() (err error) {
		conn, err = net.DialTimeout(protocol, to, patience)
		return err
	})
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	return talk(conn, patience)
}

// talk asks on a socket that is there already.
func talk(conn net.Conn, patience time.Duration) (answer, error) {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer{}, err
	}
	if conn.RemoteAddr().Network() == "udp" {
		if _, err := io.WriteString(conn, "who?\n"); err != nil {
			return answer{}, err
		}
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return answer{}, err
	}
	pod, seen, _ := strings.Cut(strings.TrimSpace(line), " ")
	address, err := netip.ParseAddrPort(seen)
	return answer{pod, netip.AddrPortFrom(address.Addr().Unmap(), address.Port())}, err
}

// askTimes asks n times and counts answers by pod, and by address seen.
func (h *host) askTimes(n int, protocol, to string) (pods map[string]int, seen map[string]int) {
	h.t.Helper()
	pods, seen = map[string]int{}, map[string]int{}
	for i := range n {
		got, err := h.ask(protocol, to, 5*time.Second)
		require.NoError(h.t, err, "connection %d", i)
		pods[got.pod]++
		seen[got.seen.Addr().String()]++
	}
	return pods, seen
}

// snmp reads a counter of the host's /proc/net/snmp.
func (h *host) snmp(group, name string) (value int) {
	h.t.Helper()
	var text []byte
	require.NoError(h.t, h.in(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	}))
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if fields[0] != group+":" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i := range names {
			if names[i] == name {
				_, err := fmt.Sscan(fields[i], &value)
				require.NoError(h.t, err)
				return value
			}
		}
	}
	require.Failf(h.t, "no such counter", "%s %s", group, name)
	return 0
}

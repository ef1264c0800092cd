package netns

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
)

func mac(last byte) topologies.HardwareAddr { return topologies.HardwareAddr{2, 0, 0, 0, 0, last} }

// sixPlan is a client and a worker with a pod, in networks of their own, by IPv6 alone.
func sixPlan() *topologies.Plan {
	gateways := []netip.Addr{netip.MustParseAddr("fd00:1::fe"), netip.MustParseAddr("fd00:2::fe")}
	node := func(i int, name string, role topologies.Role) topologies.Node {
		subnet := netip.PrefixFrom(gateways[i], 64)
		address := subnet.Masked().Addr().Next()
		network := topologies.Network{MAC: mac(byte(0x10 + i))}
		return topologies.Node{
			Name: name, Role: role, Network: name, Addresses: []netip.Prefix{netip.PrefixFrom(address, 64)}, Gateways: []netip.Addr{gateways[i]}, MAC: mac(byte(0x20 + i)),
			Port:       "p-" + name,
			Routes:     []topologies.Route{{Destination: netip.MustParsePrefix("::/0"), Via: []netip.Addr{gateways[i]}}},
			Neighbours: []topologies.Neighbour{{Address: gateways[i], MAC: network.MAC}},
		}
	}
	plan := &topologies.Plan{
		Name: "six", Hash: "six", CongestionControl: "cubic", MTU: 1500,
		Nodes: []topologies.Node{node(0, "client", topologies.RoleClient), node(1, "worker", topologies.RoleWorker)},
		Pods: []topologies.Pod{{
			Name: "pod", Node: "worker", Addresses: []netip.Addr{netip.MustParseAddr("fd00:3::2")}, MAC: mac(0x30), HostMAC: mac(0x31), HostDevice: "pod-pod",
		}},
		FabricRoutes: []topologies.Route{{
			Destination: netip.MustParsePrefix("fd00:3::/64"), Via: []netip.Addr{netip.MustParseAddr("fd00:2::1")},
		}},
	}
	for i, n := range plan.Nodes {
		plan.Networks = append(plan.Networks, topologies.Network{
			Name: n.Name, Subnets: []netip.Prefix{n.Addresses[0].Masked()}, Gateways: []netip.Addr{n.Gateways[0]}, MAC: mac(byte(0x10 + i)),
		})
	}
	return plan
}

func TestIPv6(t *testing.T) {
	plan := sixPlan()
	nw := up(t, plan, "test-six", t.TempDir())
	for _, path := range []struct {
		from, to string
		at       netip.Addr
	}{{"client", "pod", plan.Pods[0].Addresses[0]}, {"pod", "client", plan.Nodes[0].Addresses[0].Addr()}, {"fabric", "worker", plan.Nodes[1].Addresses[0].Addr()}} {
		dial(t, nw, path.from, path.to, path.at)
	}
}

// congestionControl is what the kernel chose for a connection.
func congestionControl(t *testing.T, conn net.Conn) string {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var name string
	require.NoError(t, raw.Control(func(fd uintptr) { name, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION) }))
	require.NoError(t, err)
	return name
}

// Both ends use the plan's congestion control, whatever the host's default is. reno is never that of a host of today.
func TestCongestionControl(t *testing.T) {
	plan := talk(t)
	plan.CongestionControl = "reno"
	nw := up(t, plan, "test-reno", t.TempDir())
	var listener net.Listener
	require.NoError(t, nw.Do("tcp-echo", func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(plan.Pods[0].Addresses[0], 0).String())
		return err
	}))
	defer listener.Close()
	var client net.Conn
	require.NoError(t, nw.Do("client", func() (err error) {
		client, err = net.DialTimeout("tcp", listener.Addr().String(), 20*time.Second)
		return err
	}))
	defer client.Close()
	server, err := listener.Accept()
	require.NoError(t, err)
	defer server.Close()
	assert.Equal(t, "reno", congestionControl(t, client), "of the client")
	assert.Equal(t, "reno", congestionControl(t, server), "of the pod")
}

func TestMissingCongestionControl(t *testing.T) {
	requireRoot(t)
	plan, dir := talk(t), t.TempDir()
	plan.CongestionControl = "nonesuch"
	_, err := Up(t.Context(), plan, Options{StateDir: dir, Name: "test-none"})
	var missing *MissingError
	require.ErrorAs(t, err, &missing)
	assert.EqualError(t, missing, "this machine lacks the congestion control nonesuch (invalid argument): modprobe tcp_nonesuch")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// What is made carries whose it is, and the settings are those of the plan, not of the host.
func TestMarksAndSettings(t *testing.T) {
	nw := up(t, talk(t), "test-marks", t.TempDir())
	for _, ns := range nw.Namespaces() {
		require.NoError(t, nw.Do(ns, func() error {
			links, err := netlink.LinkList()
			require.NoError(t, err)
			for _, l := range links {
				if slices.Contains([]string{"ipip", "sit", "gre", "gretap", "erspan", "ip6tnl", "vti"}, l.Type()) {
					continue // of a module that makes one in every namespace
				}
				assert.True(t, strings.HasPrefix(l.Attrs().Alias, "dsrlab:"+nw.id+":"), "%s of %s: %q", l.Attrs().Name, ns, l.Attrs().Alias)
				assert.Equal(t, net.FlagUp, l.Attrs().Flags&net.FlagUp, "%s of %s", l.Attrs().Name, ns)
			}
			for name, want := range nw.sysctls(ns) {
				got, err := os.ReadFile("/proc/sys/net/" + name)
				if os.IsNotExist(err) {
					continue // a kernel without IPv6, or without the bridge's firewall
				}
				require.NoError(t, err)
				assert.Equal(t, want, strings.TrimSpace(string(got)), "%s of %s", name, ns)
			}
			return nil
		}))
	}
}

package network

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/nftables"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// newNode moves the test to a network namespace of its own, which goes with the test's thread. eth0 has addresses of both families,
// and leads to a gateway of each.
func newNode(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	runtime.LockOSThread() // never unlocked
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	addVeth(t, "eth0")
	for _, address := range []string{"192.0.2.11/24", "2001:db8::11/64"} {
		a, err := netlink.ParseAddr(address)
		require.NoError(t, err)
		a.Flags = unix.IFA_F_NODAD
		require.NoError(t, netlink.AddrAdd(link(t, "eth0"), a))
	}
}

// addVeth makes a veth device and its peer, here as well, and brings both up.
func addVeth(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-peer"}))
	for _, end := range []string{name, name + "-peer"} {
		require.NoError(t, netlink.LinkSetUp(link(t, end)))
	}
}

func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	require.NoError(t, err)
	return l
}

func addRoute(t *testing.T, r netlink.Route) {
	t.Helper()
	require.NoError(t, netlink.RouteAdd(&r))
}

// routes are those of the agent, as "DESTINATION via GATEWAY" or "DESTINATION unreachable".
func routes(t *testing.T) []string {
	t.Helper()
	list, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: Protocol}, netlink.RT_FILTER_PROTOCOL)
	require.NoError(t, err)
	all := []string{}
	for _, r := range list {
		if r.Type == unix.RTN_UNREACHABLE {
			all = append(all, r.Dst.String()+" unreachable")
		} else {
			all = append(all, r.Dst.String()+" via "+r.Gw.String())
		}
	}
	return all
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

func TestDeviceAndAddresses(t *testing.T) {
	newNode(t)
	_, err := Device()
	require.EqualError(t, err, "find device: there is no default route: name the device that leads to the other nodes")
	addRoute(t, netlink.Route{Gw: net.ParseIP("2001:db8::1")})
	name, err := Device()
	require.NoError(t, err)
	assert.Equal(t, "eth0", name, "by the IPv6 gateway, where there is none of IPv4")

	addresses, err := Addresses("eth0")
	require.NoError(t, err)
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8::11")}, addresses)
	_, err = Addresses("eth1")
	require.ErrorContains(t, err, "addresses of eth1: ")
}

// Routes follow what is wanted, in whatever order it changes, and others' routes stay.
func TestSyncRoutes(t *testing.T) {
	newNode(t)
	addRoute(t, netlink.Route{Gw: net.ParseIP("192.0.2.1")})
	foreign := netlink.Route{Dst: netlink.NewIPNet(net.ParseIP("10.9.9.9")), Gw: net.ParseIP("192.0.2.1")}
	addRoute(t, foreign)
	next := netip.MustParseAddr("192.0.2.12")
	service, service6 := Route{To: prefix("10.96.0.0/16"), Service: true}, Route{To: prefix("fd00:96::/112"), Service: true}
	for _, step := range []struct {
		want []Route
		have []string
	}{
		{[]Route{{To: prefix("10.0.1.0/24"), Via: next}, {To: prefix("10.0.0.0/16")}, service},
			[]string{"10.0.0.0/16 unreachable", "10.0.1.0/24 via 192.0.2.12", "10.96.0.0/16 via 192.0.2.1"}},
		{[]Route{service, {To: prefix("10.0.0.0/16")}, {To: prefix("10.0.1.0/24"), Via: next}}, // the same
			[]string{"10.0.0.0/16 unreachable", "10.0.1.0/24 via 192.0.2.12", "10.96.0.0/16 via 192.0.2.1"}},
		{[]Route{{To: prefix("10.0.1.0/24"), Via: netip.MustParseAddr("192.0.2.13")}, {To: prefix("fd00:1::/64"), Via: netip.MustParseAddr("2001:db8::12")}},
			[]string{"10.0.1.0/24 via 192.0.2.13", "fd00:1::/64 via 2001:db8::12"}},
		{[]Route{service6}, []string{}}, // there is no IPv6 gateway for it to lead to
		{nil, []string{}},
	} {
		require.NoError(t, SyncRoutes("eth0", step.want))
		assert.ElementsMatch(t, step.have, routes(t))
	}
	found, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &foreign, netlink.RT_FILTER_DST)
	require.NoError(t, err)
	assert.Len(t, found, 1, "another's route")
	require.ErrorContains(t, SyncRoutes("eth1", nil), "routes: ")

	require.NoError(t, Refuse([]netip.Prefix{prefix("10.0.0.0/16"), prefix("fd00::/48")}))
	require.NoError(t, Refuse([]netip.Prefix{prefix("10.0.0.0/16")}), "again")
	assert.ElementsMatch(t, []string{"10.0.0.0/16 unreachable", "fd00::/48 unreachable"}, routes(t))
}

// A pod is what has a route of its own, within the pods' prefixes, by a veth; its MAC address may not be known yet.
func TestPods(t *testing.T) {
	newNode(t)
	addVeth(t, "lxc1")
	addVeth(t, "lxc2")
	host := func(device, address string) {
		addRoute(t, netlink.Route{LinkIndex: link(t, device).Attrs().Index, Dst: netlink.NewIPNet(net.ParseIP(address)), Scope: netlink.SCOPE_LINK})
	}
	host("lxc1", "10.0.0.3")
	host("lxc2", "fd00::2")
	host("eth0", "198.51.100.1") // not within the pods' prefixes
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 3}
	require.NoError(t, netlink.NeighSet(&netlink.Neigh{
		LinkIndex: link(t, "lxc1").Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP("10.0.0.3"), HardwareAddr: mac,
	}))
	neighbours, err := ReadNeighbours()
	require.NoError(t, err)
	pods, err := Pods([]netip.Prefix{prefix("10.0.0.0/24"), prefix("fd00::/64")}, neighbours)
	require.NoError(t, err)
	device := func(address, name string, mac net.HardwareAddr) Pod {
		attributes := link(t, name).Attrs()
		return Pod{netip.MustParseAddr(address), name, attributes.Index, mac, attributes.HardwareAddr}
	}
	assert.Equal(t, []Pod{device("10.0.0.3", "lxc1", mac), device("fd00::2", "lxc2", nil)}, pods)
}

// The rules are those of the last call, one for each prefix, and without pods there are none.
func TestMasquerade(t *testing.T) {
	newNode(t)
	rules := func() map[string]int {
		conn, err := nftables.New() // of this thread's namespace
		require.NoError(t, err)
		tables, err := conn.ListTables()
		require.NoError(t, err)
		count := map[string]int{}
		for _, table := range tables {
			all, err := conn.GetRules(table, &nftables.Chain{Name: "postrouting", Table: table})
			require.NoError(t, err)
			family := map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6"}[table.Family]
			count[family+" "+table.Name] = len(all)
		}
		return count
	}
	pods := []netip.Prefix{prefix("10.0.0.0/24"), prefix("fd00::/64")}
	require.NoError(t, Masquerade(pods, []netip.Prefix{prefix("10.0.0.0/16"), prefix("192.0.2.0/25"), prefix("fd00::/48")}))
	assert.Equal(t, map[string]int{"ip " + tableName: 3, "ip6 " + tableName: 2}, rules())
	assert.True(t, IsMasqueraded(pods, []netip.Prefix{prefix("10.0.0.0/16"), prefix("192.0.2.0/25"), prefix("fd00::/48")}))
	assert.False(t, IsMasqueraded(pods, nil))
	require.NoError(t, Masquerade(pods, []netip.Prefix{prefix("10.0.0.0/16")}))
	assert.Equal(t, map[string]int{"ip " + tableName: 2, "ip6 " + tableName: 1}, rules())
	require.NoError(t, Masquerade(pods[:1], nil))
	assert.Equal(t, map[string]int{"ip " + tableName: 1}, rules())
	require.NoError(t, Masquerade(nil, nil))
	assert.Empty(t, rules())
	assert.True(t, IsMasqueraded(nil, nil))
	assert.False(t, IsMasqueraded(pods, nil), "as if someone had flushed them")
	require.NoError(t, Masquerade(nil, nil), "nothing to remove")
}

// A runtime never finds half a configuration, and one that is as it should be is not written again.
func TestWriteCNI(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, WriteCNI(dir, ""), "none is wanted")
	require.NoError(t, WriteCNI(dir, "one"))
	file := filepath.Join(dir, "10-dsrlab.conflist")
	first, err := os.Stat(file)
	require.NoError(t, err)
	require.NoError(t, WriteCNI(dir, "one"))
	again, err := os.Stat(file)
	require.NoError(t, err)
	assert.True(t, os.SameFile(first, again), "a new one would have another inode")
	require.NoError(t, WriteCNI(dir, "two"))
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "two", string(content))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing temporary stays")
	require.ErrorContains(t, WriteCNI(filepath.Join(dir, "missing"), "x"), "write CNI configuration: ")
}

package rtnl

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies/netns/sandbox"
)

func TestMain(m *testing.M) { os.Exit(sandbox.Main(m)) }

// dial also makes a veth pair of a group, which nobody has brought up.
func dial(t *testing.T, name string, group uint32) (*Conn, netlink.Link) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes links in a network namespace of its own")
	}
	conn, err := Dial()
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	attributes := netlink.LinkAttrs{Name: name, Group: group}
	require.NoError(t, conn.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: name + "-peer"}))
	link, err := conn.LinkByName(name)
	require.NoError(t, err)
	return conn, link
}

func TestRaise(t *testing.T) {
	conn, link := dial(t, "raised", 0)
	require.NoError(t, conn.Raise(link, "what it is for"))
	link, err := conn.LinkByName("raised")
	require.NoError(t, err)
	assert.Equal(t, "what it is for", link.Attrs().Alias)
	assert.NotZero(t, link.Attrs().RawFlags&unix.IFF_UP)
	require.NoError(t, conn.LinkDel(link))
	require.ErrorIs(t, conn.Raise(link, "gone"), unix.ENODEV)
}

// Links of the group go at once, with their peers, and no others do.
func TestRemoveGroup(t *testing.T) {
	const group = 0x64737200
	conn, _ := dial(t, "ours1", group)
	dial(t, "ours2", group)
	_, other := dial(t, "other", 0)
	require.NoError(t, conn.RemoveGroup(group))
	links, err := conn.LinkList()
	require.NoError(t, err)
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	assert.Subset(t, names, []string{"other", "other-peer"})
	assert.NotContains(t, names, "ours1")
	assert.NotContains(t, names, "ours1-peer")
	assert.NotContains(t, names, "ours2")
	require.NoError(t, conn.RemoveGroup(group), "nothing to remove")
	require.NoError(t, conn.LinkDel(other))
}

// A port is ready when both ends are up, and not before.
func TestReadyPorts(t *testing.T) {
	conn, port := dial(t, "port", 0)
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "bridge"}}
	require.NoError(t, conn.LinkAdd(bridge))
	t.Cleanup(func() { assert.NoError(t, conn.LinkDel(bridge)) })
	require.NoError(t, conn.LinkSetMaster(port, bridge))
	require.NoError(t, conn.LinkSetUp(bridge))
	require.NoError(t, conn.LinkSetUp(port))
	ready, err := conn.ReadyPorts()
	require.NoError(t, err)
	assert.Empty(t, ready, "its other end is down: it has no carrier")

	peer, err := conn.LinkByName("port-peer")
	require.NoError(t, err)
	require.NoError(t, conn.LinkSetUp(peer))
	require.Eventually(t, func() bool {
		ready, err = conn.ReadyPorts()
		return err != nil || ready["port"]
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"port": true}, ready)
	require.NoError(t, conn.LinkDel(port))
}

func TestHasLocal(t *testing.T) {
	conn, link := dial(t, "local", 0)
	require.NoError(t, conn.LinkSetUp(link))
	for _, text := range []string{"192.0.2.1", "2001:db8::1"} {
		address := netip.MustParseAddr(text)
		has, err := conn.HasLocal(address)
		require.NoError(t, err)
		assert.False(t, has, text)
		a, err := netlink.ParseAddr(netip.PrefixFrom(address, address.BitLen()).String())
		require.NoError(t, err)
		a.Flags = unix.IFA_F_NODAD
		require.NoError(t, conn.AddrAdd(link, a))
		require.Eventually(t, func() bool {
			has, err = conn.HasLocal(address)
			return err != nil || has
		}, 20*time.Second, time.Millisecond, text)
		require.NoError(t, err)
	}
	require.NoError(t, conn.LinkDel(link))
}

// Messages that the kernel would not send are errors, not panics.
func TestReadPortErrors(t *testing.T) {
	_, _, err := readPort([]byte{1, 2, 3})
	require.EqualError(t, err, "read message: 3 bytes, want at least 16")
	broken := append(make([]byte, unix.SizeofIfInfomsg), 2, 0, unix.IFLA_IFNAME, 0) // an attribute is 4 bytes at least
	_, _, err = readPort(broken)
	require.Error(t, err)
}

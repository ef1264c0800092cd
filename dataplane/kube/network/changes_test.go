package network

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
)

// Whatever the agent follows is reported when it changes, and several changes at once as one or two.
func TestChanges(t *testing.T) {
	newNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	changed, err := Changes(ctx)
	require.NoError(t, err)
	eth0 := link(t, "eth0")
	index := eth0.Attrs().Index
	for _, test := range []struct {
		name   string
		change func() error
	}{
		{"route", func() error {
			return netlink.RouteAdd(&netlink.Route{LinkIndex: index, Dst: netlink.NewIPNet(net.ParseIP("10.0.0.3")), Scope: netlink.SCOPE_LINK})
		}},
		{"neighbour", func() error {
			return netlink.NeighSet(&netlink.Neigh{LinkIndex: index, IP: net.ParseIP("192.0.2.9"), State: netlink.NUD_PERMANENT, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}})
		}},
		{"Ethernet address", func() error { return netlink.LinkSetHardwareAddr(eth0, net.HardwareAddr{2, 0, 0, 0, 0, 0x80}) }},
		{"MTU", func() error { return netlink.LinkSetMTU(eth0, 1400) }},
		{"address", func() error {
			return netlink.AddrAdd(eth0, &netlink.Addr{IPNet: netlink.NewIPNet(net.ParseIP("192.0.2.77"))})
		}},
		{"device", func() error { return netlink.LinkDel(eth0) }},
	} {
		drain(changed)
		require.NoError(t, test.change(), test.name)
		select {
		case _, ok := <-changed:
			assert.True(t, ok, test.name)
		case <-time.After(time.Second):
			t.Fatal(test.name, ": no change reported within a second")
		}
	}
	cancel()
	for range changed {
	}
}

// drain waits until nothing is reported any more.
func drain(changed <-chan struct{}) {
	for {
		select {
		case <-changed:
		case <-time.After(10 * gather):
			return
		}
	}
}

// Where packets to an address go first: on the link to itself, elsewhere to the gateway, and by another device to nobody.
func TestGateway(t *testing.T) {
	newNode(t)
	addVeth(t, "eth1")
	index, other := link(t, "eth0").Attrs().Index, link(t, "eth1").Attrs().Index
	addRoute(t, netlink.Route{Dst: netlink.NewIPNet(net.ParseIP("198.51.100.7")), Gw: net.ParseIP("192.0.2.1")})
	addRoute(t, netlink.Route{Dst: netlink.NewIPNet(net.ParseIP("198.51.100.8")), LinkIndex: other})
	at := netip.MustParseAddr
	assert.Equal(t, at("192.0.2.12"), Gateway(at("192.0.2.12"), index))
	assert.Equal(t, at("2001:db8::12"), Gateway(at("2001:db8::12"), index))
	assert.Equal(t, at("192.0.2.1"), Gateway(at("198.51.100.7"), index))
	assert.False(t, Gateway(at("198.51.100.8"), index).IsValid(), "by another device")
	assert.False(t, Gateway(at("192.0.2.11"), index).IsValid(), "the node itself")
	assert.False(t, Gateway(at("203.0.113.1"), index).IsValid(), "no route")
}

// A neighbour that nobody answers for has no MAC address, and is asked for again only where that is meant.
func TestNeighbours(t *testing.T) {
	newNode(t)
	index := link(t, "eth0").Attrs().Index
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	set := func(last byte, state int) {
		require.NoError(t, netlink.NeighSet(&netlink.Neigh{LinkIndex: index, IP: net.IPv4(192, 0, 2, last), State: state, HardwareAddr: mac}))
	}
	set(21, netlink.NUD_STALE)
	set(22, netlink.NUD_REACHABLE)
	set(23, netlink.NUD_STALE)
	set(23, netlink.NUD_FAILED)
	address := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, last}) }
	n, err := ReadNeighbours()
	require.NoError(t, err)
	assert.Equal(t, mac, n.MAC(address(21), index), "the kernel has not found out anything else")
	assert.Equal(t, mac, n.MAC(address(22), index))
	assert.Nil(t, n.MAC(address(23), index))
	assert.Nil(t, n.MAC(address(24), index))
	assert.True(t, n.Failed(address(23), index))
	state := func(last byte) int {
		now, err := ReadNeighbours()
		require.NoError(t, err)
		return now[neighbourKey{address(last), index}].State
	}
	for last := byte(21); last <= 24; last++ {
		require.NoError(t, n.Resolve(address(last), index, false))
	}
	assert.Contains(t, []int{netlink.NUD_DELAY, netlink.NUD_PROBE}, state(21), "the kernel finds out")
	assert.Equal(t, netlink.NUD_REACHABLE, state(22))
	assert.Equal(t, netlink.NUD_FAILED, state(23))
	assert.Equal(t, netlink.NUD_INCOMPLETE, state(24))
	require.NoError(t, n.Resolve(address(23), index, true))
	assert.Equal(t, netlink.NUD_INCOMPLETE, state(23))
}

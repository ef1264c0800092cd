package kube

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/dsrlab/dsrlab/dataplane/kube/network"
)

// Of the pods' network others can remove what they like: a route comes back at once, rules with the next change of any kind.
func TestNetworkComesBack(t *testing.T) {
	pods := netip.MustParsePrefix("10.244.0.0/16")
	n := runNode(t, func(o *Options) {
		o.Config.PodNetwork = PodNetwork{Enabled: true, CIDRs: []netip.Prefix{pods}, CNIConfDir: t.TempDir()}
	})
	routes := func() []netlink.Route {
		all, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: network.Protocol}, netlink.RT_FILTER_PROTOCOL)
		require.NoError(t, err)
		return all
	}
	n.eventually(t, func() bool { return len(routes()) == 2 }, "to the other node's pods, and the unreachable one")
	for _, r := range routes() {
		require.NoError(t, netlink.RouteDel(&r))
		began := time.Now()
		n.eventually(t, func() bool { return len(routes()) == 2 }, "it comes back")
		assert.Less(t, time.Since(began), resync/2, "not with a resync")
	}
	own, inside := []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")}, []netip.Prefix{
		pods, netip.MustParsePrefix("192.0.2.11/32"), netip.MustParsePrefix("192.0.2.12/32"),
	}
	n.eventually(t, func() bool { return network.IsMasqueraded(own, inside) }, "masqueraded")
	conn, err := nftables.New()
	require.NoError(t, err)
	conn.FlushRuleset()
	require.NoError(t, conn.Flush())                                   // the routes' changes above may make it look just now
	require.NoError(t, netlink.LinkSetMTU(mustLink(t, "peer0"), 1400)) // any change makes it look
	n.eventually(t, func() bool { return network.IsMasqueraded(own, inside) }, "masqueraded again")
}

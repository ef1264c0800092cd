package netns

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Everybody reaches everybody by both IP versions, by plain routing and from the first packet on.
func TestDualStack(t *testing.T) {
	plan, err := planNamed("dual-stack")
	require.NoError(t, err)
	nw := up(t, plan, "test-dual", t.TempDir())
	client := &plan.Nodes[0]
	for i := range plan.Pods {
		pod := &plan.Pods[i]
		require.Len(t, pod.Addresses, 2)
		for _, address := range pod.Addresses {
			dial(t, nw, "client", pod.Name, address)
			dial(t, nw, "lb-1", pod.Name, address)
			dial(t, nw, pod.Name, "client", client.AddressFor(address))
			dial(t, nw, plan.Pods[1-i].Name, pod.Name, address)
		}
	}
	for i := range plan.Nodes {
		for _, address := range plan.Nodes[i].Addresses {
			dial(t, nw, "fabric", plan.Nodes[i].Name, address.Addr())
		}
	}
	// The way back to the client is narrower than the pod's own link, and the fabric says so.
	pod := &plan.Pods[0]
	cluster := plan.NetworkOf(&plan.Nodes[1])
	for k, headers := range []int{28, 48} {
		from := pod.Addresses[k]
		require.NoError(t, nw.Do(pod.Name, func() error {
			got, err := sendWhole(from, client.AddressFor(from), 1500-headers)
			assert.Equal(t, [2]any{cluster.Gateways[k], uint32(1400)}, [2]any{got.router, got.mtu})
			return err
		}))
	}
}

// The fabric spreads the VIPs of both IP versions over both LB nodes.
func TestDualStackVIPs(t *testing.T) {
	plan, err := planNamed("dual-stack")
	require.NoError(t, err)
	nw := up(t, plan, "test-vips", t.TempDir())
	fabric, err := nw.dial(Fabric)
	require.NoError(t, err)
	defer fabric.Close()
	for vip, want := range map[string][]string{
		"185.150.8.128":   {"192.168.2.11", "192.168.2.12"},
		"2001:db8:8::128": {"2001:db8:2::11", "2001:db8:2::12"},
	} {
		address := netip.MustParseAddr(vip)
		family := unix.AF_INET
		if address.Is6() {
			family = unix.AF_INET6
		}
		routes, err := fabric.RouteListFiltered(family, &netlink.Route{Dst: ipNet(hostPrefix(address))}, netlink.RT_FILTER_DST)
		require.NoError(t, err)
		var via []string
		for _, r := range routes {
			if r.Gw != nil {
				via = append(via, r.Gw.String())
			}
			for _, hop := range r.MultiPath {
				via = append(via, hop.Gw.String())
			}
		}
		slices.Sort(via)
		assert.Equal(t, want, via, vip)
	}
}

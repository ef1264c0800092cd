package netns

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// asBuilder is a builder with the namespaces of a complete network open.
func asBuilder(t *testing.T, nw *Network) *builder {
	t.Helper()
	b := &builder{Network: nw, namespaces: make(map[string]*namespace)}
	for _, name := range nw.Namespaces() {
		conn, err := nw.dial(name)
		require.NoError(t, err)
		t.Cleanup(conn.Close)
		b.namespaces[name] = &namespace{fd: -1, conn: conn}
	}
	return b
}

func names(links []carrier) (all []string) {
	for _, l := range links {
		all = append(all, l.name+" of "+l.ns)
	}
	return all
}

func TestSettle(t *testing.T) {
	nw := up(t, sixPlan(), "test-settle", t.TempDir())
	b := asBuilder(t, nw)
	all := b.pending()
	assert.Equal(t, []string{"br0 of fabric", "br1 of fabric", "pod-pod of worker"}, names(all.links))
	assert.Equal(t, []string{"p-client", "p-worker"}, all.ports)
	assert.Len(t, all.local, 5, "two nodes, two gateways, a pod")
	require.NoError(t, all.update())
	assert.True(t, all.done(), "a complete network is ready: %v", all)

	worker := b.ns("worker")
	device, err := worker.link(nodeDevice)
	require.NoError(t, err)
	require.NoError(t, worker.conn.LinkSetDown(device))
	require.Eventually(t, func() bool { // the kernel takes its time here too
		u := b.pending()
		return u.update() == nil && len(u.links) == 1 && len(u.ports) == 1 && len(u.local) == 1
	}, readyTimeout, time.Millisecond)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, context.DeadlineExceeded)
	defer cancel()
	assert.EqualError(t, b.pending().wait(ctx),
		"no carrier on br1 of fabric; no packets through p-worker; no local route to fd00:2::1 of worker: context deadline exceeded")

	waited := make(chan error, 1)
	go func() { waited <- b.waitReady(t.Context()) }()
	require.NoError(t, worker.conn.LinkSetUp(device))
	require.NoError(t, worker.addAddress(device, nw.plan.Nodes[1].Addresses[0], unix.IFA_F_NOPREFIXROUTE), "which went with the link")
	require.NoError(t, <-waited)
	ready, err := b.ns(Fabric).conn.ReadyPorts()
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"p-client": true, "p-worker": true}, ready)
	for _, address := range []string{"fd00:2::1", "fd00:2::2"} {
		is, err := worker.conn.HasLocal(netip.MustParseAddr(address))
		require.NoError(t, err)
		assert.Equal(t, address == "fd00:2::1", is, address)
	}
}

// Without IPv6 no namespace but the fabric is asked, and a network without nodes is not waited for: its bridge has no carrier.
func TestSettleLittle(t *testing.T) {
	plan := talk(t)
	plan.Networks = append(plan.Networks, plan.Networks[0])
	empty := &plan.Networks[len(plan.Networks)-1]
	empty.Name = "empty"
	empty.Subnets, empty.Gateways = []netip.Prefix{netip.MustParsePrefix("172.30.0.0/24")}, []netip.Addr{netip.MustParseAddr("172.30.0.254")}
	nw := up(t, plan, "test-little", t.TempDir())
	b := asBuilder(t, nw)
	assert.Empty(t, b.pending().local)
	assert.Equal(t, []string{"br0 of fabric", "v-tcp-echo of worker"}, names(b.pending().links))
	require.NoError(t, nw.Do(Fabric, func() error {
		bridge, err := netlink.LinkByName("br1")
		if err == nil {
			assert.NotEqual(t, netlink.LinkOperState(netlink.OperUp), bridge.Attrs().OperState)
		}
		return err
	}))
}

func TestUnsettledTells(t *testing.T) {
	u := &pending{ports: []string{"p-a", "p-b", "p-c", "p-d", "p-e"}}
	assert.Equal(t, "no packets through p-a, p-b, p-c, 2 more", u.String())
}

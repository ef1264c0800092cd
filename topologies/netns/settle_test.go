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

// asBuilder is a builder with ways into a lab that stands.
func asBuilder(t *testing.T, lab *Lab) *builder {
	t.Helper()
	b := &builder{Lab: lab, places: make(map[string]*place)}
	for _, name := range lab.Places() {
		conn, err := lab.dial(name)
		require.NoError(t, err)
		t.Cleanup(conn.Close)
		b.places[name] = &place{ns: -1, conn: conn}
	}
	return b
}

func names(links []carrier) (all []string) {
	for _, l := range links {
		all = append(all, l.name+" of "+l.place)
	}
	return all
}

func TestSettle(t *testing.T) {
	lab := up(t, sixPlan(), "test-settle", t.TempDir())
	b := asBuilder(t, lab)
	all := b.unsettled()
	assert.Equal(t, []string{"br0 of fabric", "br1 of fabric", "pod-pod of worker"}, names(all.links))
	assert.Equal(t, []string{"p-client", "p-worker"}, all.ports)
	assert.Len(t, all.local, 5, "two nodes, two gateways, a pod")
	require.NoError(t, all.look())
	assert.True(t, all.done(), "a lab that stands has settled: %v", all)

	worker := b.at("worker")
	device, err := worker.link(nodeDevice)
	require.NoError(t, err)
	require.NoError(t, worker.conn.LinkSetDown(device))
	require.Eventually(t, func() bool { // the kernel takes its time here too
		u := b.unsettled()
		return u.look() == nil && len(u.links) == 1 && len(u.ports) == 1 && len(u.local) == 1
	}, settleLimit+20*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, context.DeadlineExceeded)
	defer cancel()
	assert.EqualError(t, b.unsettled().wait(ctx),
		"no carrier on br1 of fabric; no packets through p-worker; no local route to fd00:2::1 of worker: context deadline exceeded")

	waited := make(chan error, 1)
	go func() { waited <- b.settle(t.Context()) }()
	require.NoError(t, worker.conn.LinkSetUp(device))
	require.NoError(t, worker.addAddress(device, lab.plan.Nodes[1].Address, unix.IFA_F_NOPREFIXROUTE), "which went with the link")
	require.NoError(t, <-waited)
	ready, err := b.at(Fabric).conn.ReadyPorts()
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"p-client": true, "p-worker": true}, ready)
	for _, address := range []string{"fd00:2::1", "fd00:2::2"} {
		is, err := worker.conn.HasLocal(netip.MustParseAddr(address))
		require.NoError(t, err)
		assert.Equal(t, address == "fd00:2::1", is, address)
	}
}

// Without IPv6 no place but the fabric is asked, and a network without nodes is not waited for: its bridge has no carrier.
func TestSettleLittle(t *testing.T) {
	plan := talk(t)
	plan.Networks = append(plan.Networks, plan.Networks[0])
	empty := &plan.Networks[len(plan.Networks)-1]
	empty.Name, empty.Subnet, empty.Gateway = "empty", netip.MustParsePrefix("172.30.0.0/24"), netip.MustParseAddr("172.30.0.254")
	lab := up(t, plan, "test-little", t.TempDir())
	b := asBuilder(t, lab)
	assert.Empty(t, b.unsettled().local)
	assert.Equal(t, []string{"br0 of fabric", "v-tcp-echo of worker"}, names(b.unsettled().links))
	require.NoError(t, lab.Do(Fabric, func() error {
		bridge, err := netlink.LinkByName("br1")
		if err == nil {
			assert.NotEqual(t, netlink.LinkOperState(netlink.OperUp), bridge.Attrs().OperState)
		}
		return err
	}))
}

func TestUnsettledTells(t *testing.T) {
	u := &unsettled{ports: []string{"p-a", "p-b", "p-c", "p-d", "p-e"}}
	assert.Equal(t, "no packets through p-a, p-b, p-c, 2 more", u.String())
}

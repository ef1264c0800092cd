package testbed

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

var dsr = Variant{Name: "dsr", DataPath: DataPathDSRLab, Mode: services.ModeDSR}

// acknowledgeAtOnce has the client's kernel acknowledge what comes next without delay (TCP_QUICKACK, tcp(7)).
func acknowledgeAtOnce(t *testing.T, c labtest.Caller) {
	t.Helper()
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	var inner error
	require.NoError(t, raw.Control(func(fd uintptr) {
		inner = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	}))
	require.NoError(t, inner)
}

// linesStand is five-nodes with servers of lines behind the VIP's port 5201.
func linesStand(t *testing.T, change func(*topologies.Topology)) (*Testbed, netip.AddrPort) {
	tb := upOf(t, "five-nodes", Options{Agent: testLabs.Program(t, "dsrd")}, func(topology *topologies.Topology) {
		for i := range topology.Spec.Nodes {
			topology.Spec.Nodes[i].Link = topologies.LinkSpec{}
		}
		if change != nil {
			change(topology)
		}
	})
	labtest.ServeLines(t, tb, tb.plan.Pods, 5201)
	return tb, netip.AddrPortFrom(echoVIP.Addr(), 5201)
}

// routeVIP leads the VIP to one LB node alone.
func routeVIP(t *testing.T, tb *Testbed, vip netip.Addr, to topologies.Node) {
	t.Helper()
	require.NoError(t, tb.network.Do(netns.Fabric, func() error {
		return netlink.RouteReplace(&netlink.Route{
			Dst: netlink.NewIPNet(vip.AsSlice()), Gw: to.Addresses[0].Addr().AsSlice(),
		})
	}))
}

// TestTakeoverOfRunningFlows: their packets come to another LB node, which never saw them begin; and back again.
func TestTakeoverOfRunningFlows(t *testing.T) {
	tb, to := linesStand(t, nil)
	require.NoError(t, tb.Install(t.Context(), dsr))
	lbs := tb.LBNodes()
	routeVIP(t, tb, to.Addr(), lbs[0])
	names := make(map[labtest.Caller]string)
	for range 24 {
		c := labtest.Call(t, tb, "client", to)
		names[c] = c.Ask(t)
	}
	for _, lb := range []topologies.Node{lbs[1], lbs[0]} {
		routeVIP(t, tb, to.Addr(), lb)
		for c, name := range names {
			for range 3 {
				assert.Equal(t, name, c.Ask(t), "by %s", lb.Name)
			}
		}
	}
}

// TestTakeoverOfDownload: a transfer goes on while its packets move from one LB node to the other and back.
func TestTakeoverOfDownload(t *testing.T) {
	tb := serving(t, "five-nodes", nil)
	require.NoError(t, tb.Install(t.Context(), dsr))
	to, lbs := netip.AddrPortFrom(echoVIP.Addr(), 5201), tb.LBNodes()
	routeVIP(t, tb, to.Addr(), lbs[0])
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 8 {
			time.Sleep(100 * time.Millisecond)
			routeVIP(t, tb, to.Addr(), lbs[(i+1)%2])
		}
	}()
	for _, direction := range []workload.Direction{workload.Download, workload.Upload} {
		report, err := workload.Bulk(t.Context(), workload.BulkOptions{
			Dialer: workload.Dialer{Enter: tb.Enter("client")}, Target: to, Direction: direction, Duration: 500 * time.Millisecond,
		})
		require.NoError(t, err)
		assert.NotNil(t, report)
	}
	<-done
}

// TestDrainedBackend: a terminating pod keeps its connections, and gets no new ones.
func TestDrainedBackend(t *testing.T) {
	tb, to := linesStand(t, nil)
	require.NoError(t, tb.Install(t.Context(), dsr))
	drained := tb.plan.Pods[0]
	names := make(map[labtest.Caller]string)
	for _, c := range tb.callsTo(t, to, drained.Name) {
		names[c] = fmt.Sprintf("%-20s", drained.Name)
	}
	for range 16 {
		c := labtest.Call(t, tb, "client", to)
		names[c] = c.Ask(t)
	}
	require.NoError(t, tb.SetDraining(t.Context(), dsr, drained.Name, true))
	for c, name := range names {
		assert.Equal(t, name, c.Ask(t))
	}
	for range 24 {
		assert.NotContains(t, labtest.Call(t, tb, "client", to).Ask(t), drained.Name)
	}
}

// TestReplacedUnderLoad: the programs are replaced while a transfer runs, with all that their maps hold.
func TestReplacedUnderLoad(t *testing.T) {
	tb, to := linesStand(t, nil)
	require.NoError(t, tb.Install(t.Context(), dsr))
	c := labtest.Call(t, tb, "client", to)
	name := c.Ask(t)
	tables, err := tb.Tables(dsr)
	require.NoError(t, err)
	for range 5 {
		for _, n := range tb.ClusterNodes() {
			require.NoError(t, tb.load(n, dsr, tables))
		}
		assert.Equal(t, name, c.Ask(t))
	}
}

// TestCallsFromInside: pods and nodes call the service by its ClusterIP, VIP and NodePort, wherever its pods are.
func TestCallsFromInside(t *testing.T) {
	tb, vip := linesStand(t, nil)
	require.NoError(t, tb.Install(t.Context(), dsr))
	tables, err := tb.Tables(dsr)
	require.NoError(t, err)
	i := slices.IndexFunc(tables.Frontends, func(f services.Frontend) bool { return f.Kind == services.KindClusterIP && f.PortName == "bulk" })
	clusterIP := tables.Frontends[i].AddrPort()
	nodePort := netip.AddrPortFrom(tb.LBNodes()[0].Addresses[0].Addr(), 31001)
	ownNodePort := netip.AddrPortFrom(tb.nodeOf(t, "worker-1").Addresses[0].Addr(), 31001)
	for _, test := range []struct {
		from string
		to   netip.AddrPort
	}{
		{tb.plan.Pods[0].Name, clusterIP}, {tb.plan.Pods[0].Name, vip}, {tb.plan.Pods[0].Name, nodePort},
		{"worker-1", clusterIP}, {"lb-1", clusterIP}, {"lb-1", vip},
		{"lb-1", nodePort}, {"lb-1", ownNodePort}, {"worker-1", nodePort}, {"worker-1", ownNodePort},
	} {
		t.Run(test.from+" "+test.to.String(), func(t *testing.T) {
			// All pods answer: of other nodes, of this one, and the caller itself.
			assert.Len(t, labtest.Answering(t, tb, test.from, test.to, len(tb.plan.Pods)), len(tb.plan.Pods))
		})
	}
}

// TestWhoMayCall: source ranges hold in both modes, and at both hooks, and others at once.
func TestWhoMayCall(t *testing.T) {
	tb, to := linesStand(t, nil)
	ranges := &tb.plan.Services[0].Spec.LoadBalancerSourceRanges
	for _, v := range ourVariants() {
		*ranges = []string{"198.51.100.0/24"}
		require.NoError(t, tb.Install(t.Context(), v))
		tb.isDropped(t, to, "source-range")

		*ranges = []string{"192.168.1.0/24"}
		tables, err := tb.Tables(v)
		require.NoError(t, err)
		require.NoError(t, tb.platform().setServices(t.Context(), v, tables))
		dropped := labtest.Count(t, tb, "source-range")
		assert.NotEmpty(t, labtest.Call(t, tb, "client", to).Ask(t), v.Name)
		assert.Equal(t, dropped, labtest.Count(t, tb, "source-range"), v.Name)
	}
}

// TestPolicyLocal: a node without a pod of the service drops, so that the client tries elsewhere; nobody is refused.
func TestPolicyLocal(t *testing.T) {
	tb, to := linesStand(t, func(topology *topologies.Topology) {
		topology.Spec.Services[0].Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	})
	require.NoError(t, tb.Install(t.Context(), dsr))
	tb.isDropped(t, to, "no-local-backend") // LB nodes have no pods
	worker := tb.plan.Nodes[slices.IndexFunc(tb.plan.Nodes, func(n topologies.Node) bool { return n.Name == "worker-1" })]
	assert.NotEmpty(t, labtest.Call(t, tb, "client", netip.AddrPortFrom(worker.Addresses[0].Addr(), 31001)).Ask(t), "its NodePort answers")
}

// TestAffinityOfClients: with sessionAffinity all connections of a client go to one pod.
func TestAffinityOfClients(t *testing.T) {
	tb, to := linesStand(t, func(topology *topologies.Topology) {
		topology.Spec.Services[0].Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	})
	require.NoError(t, tb.Install(t.Context(), dsr))
	seen := make(map[string]bool)
	for range 16 {
		seen[labtest.Call(t, tb, "client", to).Ask(t)] = true
	}
	assert.Len(t, seen, 1)
}

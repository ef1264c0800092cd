package netns

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"runtime"

	"github.com/dsrlab/dsrlab/topologies"
)

// wide is a plan of n nodes, all shaped: a client, an LB node, workers.
func wide(t testing.TB, n int) *topologies.Plan {
	t.Helper()
	topology := &topologies.Topology{
		APIVersion: topologies.APIVersion, Kind: topologies.Kind, Metadata: topologies.Metadata{Name: "wide"},
		Spec: topologies.Spec{
			Networks: []topologies.NetworkSpec{{Name: "lan", Subnet: netip.MustParsePrefix("172.16.0.0/16")}},
			Nodes: []topologies.NodeSpec{
				{Name: "client", Role: topologies.RoleClient, Address: netip.MustParseAddr("172.16.0.10")},
				{Name: "lb", Role: topologies.RoleLB, Address: netip.MustParseAddr("172.16.0.11")},
				{Name: "worker", Role: topologies.RoleWorker, Address: netip.MustParseAddr("172.16.1.1"), Replicas: n - 2},
			},
		},
	}
	for i := range topology.Spec.Nodes {
		topology.Spec.Nodes[i].Link.Rate = 1e9
	}
	topologies.Default(topology)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	require.Len(t, plan.Nodes, n)
	return plan
}

func TestTwoHundredNodes(t *testing.T) {
	plan := wide(t, 200)
	lab := up(t, plan, "test-wide", t.TempDir())
	dial(t, lab, "client", plan.Nodes[199].Name, plan.Nodes[199].Address.Addr())
	dial(t, lab, plan.Nodes[2].Name, plan.Nodes[150].Name, plan.Nodes[150].Address.Addr())
}

// BenchmarkUp compares Up with the same objects made by plain netlink, in turns. of-floor is the ratio of the times.
func BenchmarkUp(b *testing.B) {
	for _, n := range []int{5, 50, 200} {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			requireRoot(b)
			plan, dir := wide(b, n), b.TempDir()
			var ours, floor time.Duration
			turns := 0
			for b.Loop() {
				turns++
				start := time.Now()
				_, err := Up(b.Context(), plan, Options{StateDir: dir, Name: "bench"})
				ours += time.Since(start)
				require.NoError(b, err)
				require.NoError(b, Down(context.Background(), dir, "bench"))

				start = time.Now()
				made, err := buildPlainly(plan)
				floor += time.Since(start)
				for _, ns := range made {
					ns.Close()
				}
				require.NoError(b, err)
			}
			b.ReportMetric(float64(ours.Microseconds())/float64(turns)/1e3, "ms/up")
			b.ReportMetric(float64(floor.Microseconds())/float64(turns)/1e3, "ms/floor")
			b.ReportMetric(float64(ours)/float64(floor), "of-floor")
		})
	}
}

// buildPlainly makes the plan's objects with nothing around: no names, no journal, no settings but forwarding, one thread. The
// namespaces go when they are closed.
func buildPlainly(plan *topologies.Plan) (made []netns.NsHandle, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and dies so
		made, err = buildPlainlyHere(plan)
	}()
	<-done
	return made, err
}

func buildPlainlyHere(plan *topologies.Plan) ([]netns.NsHandle, error) {
	var made []netns.NsHandle
	for range len(plan.Nodes) + 1 {
		ns, err := netns.New()
		if err != nil {
			return made, err
		}
		made = append(made, ns)
	}
	fabric := made[len(made)-1] // where the thread is
	l := &Lab{plan: plan, id: "floor"}
	bridge := &netlink.Bridge{LinkAttrs: l.attrs("br0", "floor", plan.Networks[0].MAC)}
	if err := netlink.LinkAdd(bridge); err != nil {
		return made, err
	}
	for i, n := range plan.Nodes {
		veth := &netlink.Veth{LinkAttrs: l.attrs(n.Port, "floor", nil), PeerName: nodeDevice, PeerNamespace: netlink.NsFd(made[i])}
		veth.MasterIndex, veth.GSOMaxSegs = bridge.Index, 1
		if err := netlink.LinkAdd(veth); err != nil {
			return made, err
		}
		if err := netlink.LinkSetUp(veth); err != nil {
			return made, err
		}
	}
	for i := range plan.Nodes {
		if err := netns.Set(made[i]); err != nil {
			return made, err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return made, err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return made, err
		}
		if err := l.configureNode(&plan.Nodes[i]); err != nil {
			return made, err
		}
	}
	if err := netns.Set(fabric); err != nil {
		return made, err
	}
	if err := addAddress(bridge, netip.PrefixFrom(plan.Networks[0].Gateway, plan.Networks[0].Subnet.Bits()), 0); err != nil {
		return made, err
	}
	for i := range plan.Nodes {
		n := &plan.Nodes[i]
		if err := addNeighbour(bridge, topologies.Neighbour{Address: n.Address.Addr(), MAC: n.MAC}); err != nil {
			return made, err
		}
		wire, err := l.wire(n)
		if err != nil {
			return made, err
		}
		if err := wire.Set(n.ToNode, n.FromNode); err != nil {
			return made, err
		}
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return made, err
	}
	for _, r := range plan.FabricRoutes {
		if err := l.addRoute(nil, r); err != nil {
			return made, err
		}
	}
	return made, nil
}

package testbed

import (
	"fmt"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/dsrlab/dsrlab/dataplane/bgp"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// edgeStand is the topology edge, with its pods' servers, and with the program that speaks BGP.
func edgeStand(t *testing.T) *Testbed { return edgeStandOf(t, "edge", nil) }

func edgeStandOf(t *testing.T, name string, change func(*topologies.Topology)) *Testbed {
	t.Helper()
	tb := standServing(t, name, change)
	tb.labPod = testLabs.Program(t, "labpod")
	return tb
}

var (
	snat      = Variant{Name: "snat", DataPath: DataPathDSRLab, Mode: services.ModeSNAT}
	kubeProxy = Variant{Name: "kube-proxy", DataPath: DataPathKubeProxy}
)

// edgeCalls connections and as many datagrams miss one of three LB nodes, among which the kernel's hash spreads them, in less than 1 of
// 10^9 runs: 3 * (2/3)^60.
const edgeCalls = 30

// outcome is what came of edgeCalls connections and as many datagrams to the VIP.
type outcome struct{ tcp, udp, preserved int }

var (
	allPreserved  = outcome{edgeCalls, edgeCalls, 2 * edgeCalls}
	allTranslated = outcome{edgeCalls, edgeCalls, 0}
	none          = outcome{}
)

// needBird skips what needs a program that the machine lacks.
func needBird(t *testing.T, e Edge) {
	t.Helper()
	if _, err := exec.LookPath("bird"); err != nil && e == EdgeBird {
		t.Skip("BIRD is not installed: apt-get install bird2")
	}
}

// TestEdges: which data paths get on with what is in front of the LB nodes (claims NLB-1, NLB-3 and NLB-4).
func TestEdges(t *testing.T) {
	tb := edgeStand(t)
	for _, c := range []struct {
		variant Variant
		want    map[Edge]outcome
	}{
		{dsr, map[Edge]outcome{EdgeNone: allPreserved, EdgeStateless: allPreserved, EdgeStateful: none, EdgeBGP: allPreserved}},
		{snat, map[Edge]outcome{EdgeNone: allTranslated, EdgeStateless: allTranslated, EdgeStateful: allTranslated, EdgeBGP: allTranslated}},
		{kubeProxy, map[Edge]outcome{EdgeNone: allTranslated, EdgeStateless: allTranslated, EdgeStateful: allTranslated, EdgeBGP: allTranslated}},
	} {
		require.NoError(t, tb.Install(t.Context(), c.variant))
		for _, e := range []Edge{EdgeNone, EdgeStateless, EdgeStateful, EdgeBGP} {
			want := c.want[e]
			t.Run(fmt.Sprintf("%s/%s", c.variant.Name, e), func(t *testing.T) {
				require.NoError(t, tb.SetEdge(t.Context(), e))
				before := tb.arrived(t)
				tb.expectCalls(t, want, echoVIP)
				after := tb.arrived(t)
				for name, was := range before {
					if name == "edge" || name == "router" {
						passed := e.role() != "" && after[name]-was >= edgeCalls
						node, err := tb.EdgeNode(e)
						require.NoError(t, err)
						assert.Equal(t, node != nil && node.Name == name, passed, "%s: %d packets", name, after[name]-was)
					} else {
						assert.Greater(t, after[name], was, "flows come to every LB node, to %s too", name)
					}
				}
			})
		}
	}
	require.NoError(t, tb.SetEdge(t.Context(), EdgeNone))
	require.NoError(t, tb.Install(t.Context(), dsr))
	tb.expectCalls(t, allPreserved, echoVIP, "nothing is left of an edge that is gone")
	tb.checkNoEdge(t)
}

// checkNoEdge checks that no place has anything left of an edge.
func (tb *Testbed) checkNoEdge(t *testing.T) {
	t.Helper()
	for _, place := range []string{netns.Fabric, "edge", "router"} {
		require.NoError(t, tb.network.Do(place, func() error {
			rules, err := netlink.RuleList(netlink.FAMILY_ALL)
			require.NoError(t, err)
			for _, r := range rules {
				assert.NotEqual(t, returnPriority, r.Priority, place)
			}
			left, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: returnTable}, netlink.RT_FILTER_TABLE)
			require.NoError(t, err)
			assert.Empty(t, left, place)
			for _, r := range tb.vipRoutes() {
				found, err := routesTo(r.Destination)
				require.NoError(t, err)
				assert.Equal(t, place == netns.Fabric, len(found) > 0, "%s has routes %v", place, found)
			}
			conn, err := nftables.New()
			require.NoError(t, err)
			tables, err := conn.ListTables()
			require.NoError(t, err)
			assert.Empty(t, tables, place)
			return nil
		}))
	}
	routes, err := tb.VIPRoutes(netns.Fabric)
	require.NoError(t, err)
	assert.Equal(t, tb.vipRoutes(), routes)
}

// arrived are the packets that have come to each LB node, and to the NLB and the router.
func (tb *Testbed) arrived(t *testing.T) map[string]uint64 {
	t.Helper()
	all := make(map[string]uint64)
	for _, n := range tb.plan.Nodes {
		if n.Role == topologies.RoleClient || n.Role == topologies.RoleWorker {
			continue
		}
		toNode, _, err := tb.network.PortStats(n.Name)
		require.NoError(t, err)
		all[n.Name] = toNode.Packets
	}
	return all
}

// TestSpoofProtection: direct answers have a source that is not the worker's (claim NLB-2).
func TestSpoofProtection(t *testing.T) {
	tb := edgeStand(t)
	drops := func() (sum uint64, at map[string]uint64) {
		at = make(map[string]uint64)
		for _, n := range tb.ClusterNodes() {
			n1, err := tb.SpoofDrops(n.Name)
			require.NoError(t, err)
			if n1 > 0 {
				at[n.Name] = n1
			}
			sum += n1
		}
		return sum, at
	}
	require.NoError(t, tb.Install(t.Context(), dsr))
	require.NoError(t, tb.SetSpoofProtection(true))
	i, err := tb.Investigate(t.Context(), "client")
	require.NoError(t, err)
	tb.expectCalls(t, none, echoVIP)
	seen, err := i.Conclude()
	require.NoError(t, err)
	sum, at := drops()
	assert.GreaterOrEqual(t, sum, uint64(2*edgeCalls), "every answer at least once")
	for _, f := range Diagnose(seen) {
		assert.Equal(t, "spoof_drops", f.Counter)
		delete(at, f.Place[len("fabric port of "):])
	}
	assert.Len(t, Diagnose(seen), 2, "at both workers' ports: %v", Diagnose(seen))
	assert.Empty(t, at, "all drops are in the diagnosis")

	for _, v := range []Variant{snat, kubeProxy} {
		require.NoError(t, tb.Install(t.Context(), v))
		require.NoError(t, tb.SetSpoofProtection(true))
		tb.expectCalls(t, allTranslated, echoVIP, v.Name)
		_, at := drops()
		assert.Empty(t, at, v.Name)
	}
	require.NoError(t, tb.Install(t.Context(), dsr))
	require.NoError(t, tb.SetSpoofProtection(false))
	tb.expectCalls(t, allPreserved, echoVIP)
	_, err = tb.SpoofDrops("router")
	assert.EqualError(t, err, "spoof drops of router: want an LB or pod node")
}

// TestStatefulDiagnosis: DSR's answers go past the NLB, and the client does not know who answers.
func TestStatefulDiagnosis(t *testing.T) {
	tb := edgeStand(t)
	require.NoError(t, tb.Install(t.Context(), dsr))
	require.NoError(t, tb.SetEdge(t.Context(), EdgeStateful))
	i, err := tb.Investigate(t.Context(), "client")
	require.NoError(t, err)
	tb.expectCalls(t, none, echoVIP)
	seen, err := i.Conclude()
	require.NoError(t, err)
	assert.Equal(t, 2*edgeCalls, seen.Calls)
	assert.Equal(t, echoVIP, seen.Called)
	assert.EqualValues(t, 31000, seen.Answered.Port())
	assert.GreaterOrEqual(t, seen.Resets, edgeCalls)
	all := Diagnose(seen)
	require.Len(t, all, 1)
	assert.Equal(t, "client", all[0].Place)
	assert.GreaterOrEqual(t, all[0].Count, uint64(2*edgeCalls))
	assert.Contains(t, all[0].Text, "they went past edge")

	require.NoError(t, tb.Install(t.Context(), snat))
	i, err = tb.Investigate(t.Context(), "client")
	require.NoError(t, err)
	tb.expectCalls(t, allTranslated, echoVIP)
	seen, err = i.Conclude()
	require.NoError(t, err)
	assert.Empty(t, Diagnose(seen))
	assert.Equal(t, 2*edgeCalls, seen.Calls)
}

// TestBGP: a real session from each LB node to the router, by our own speaker and by BIRD.
func TestBGP(t *testing.T) {
	tb := edgeStand(t)
	require.NoError(t, tb.Install(t.Context(), dsr))
	for _, e := range []Edge{EdgeBGP, EdgeBird} {
		t.Run(e.String(), func(t *testing.T) {
			needBird(t, e)
			require.NoError(t, tb.SetEdge(t.Context(), e))
			nextHops := func() []netip.Addr {
				routes, err := tb.VIPRoutes("router")
				require.NoError(t, err)
				require.Len(t, routes, 1)
				assert.Equal(t, echoVIP.Addr(), routes[0].Destination.Addr())
				return routes[0].Via
			}
			lbs := tb.LBNodes()
			var all []netip.Addr
			for _, n := range lbs {
				all = append(all, n.Addresses[0].Addr())
			}
			assert.Equal(t, all, nextHops())
			began := time.Now()
			require.NoError(t, tb.StopAnnouncing(t.Context(), "lb-2"))
			t.Logf("withdrawn after %v", time.Since(began))
			assert.Equal(t, []netip.Addr{all[0], all[2]}, nextHops())
			tb.expectCalls(t, allPreserved, echoVIP)
			began = time.Now()
			require.NoError(t, tb.StartAnnouncing(t.Context(), "lb-2"))
			t.Logf("learned after %v", time.Since(began))
			assert.Equal(t, all, nextHops())
			require.NoError(t, tb.SetEdge(t.Context(), EdgeNone))
			routes, err := tb.VIPRoutes("router")
			require.NoError(t, err)
			assert.Empty(t, routes)
			assert.False(t, tb.network.IsRunning("bgp-router"))
			require.EqualError(t, tb.StopAnnouncing(t.Context(), "lb-2"),
				"announce on lb-2: want an LB node, and edge bgp or bgp-bird; the edge is none")
		})
	}
}

// TestBGPDeadNode: an LB node that falls silent, without a goodbye, loses its flows when its session's hold time is over.
func TestBGPDeadNode(t *testing.T) {
	tb := edgeStand(t)
	require.NoError(t, tb.SetEdge(t.Context(), EdgeBGP))
	dead := tb.LBNodes()[1]
	hops := func() int {
		routes, err := tb.VIPRoutes("router")
		require.NoError(t, err)
		require.Len(t, routes, 1)
		return len(routes[0].Via)
	}
	require.Equal(t, 3, hops())
	require.NoError(t, tb.network.Do(netns.Fabric, func() error {
		port, err := netlink.LinkByName(dead.Port)
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(port)
	}))
	began := time.Now()
	require.Eventually(t, func() bool { return hops() == 2 }, bgp.HoldTime+patience, 20*time.Millisecond)
	t.Logf("withdrawn after %v", time.Since(began))
	routes, err := tb.VIPRoutes("router")
	require.NoError(t, err)
	assert.NotContains(t, routes[0].Via, dead.Addresses[0].Addr())
}

// TestEdgesOfBothFamilies: every edge, for a VIP of each IP version.
func TestEdgesOfBothFamilies(t *testing.T) {
	tb := edgeStandOf(t, "dual-stack", func(topology *topologies.Topology) {
		add := func(name string, role topologies.Role, addresses ...string) {
			n := topologies.NodeSpec{Name: name, Role: role, Replicas: 1}
			for _, a := range addresses {
				n.Addresses = append(n.Addresses, netip.MustParseAddr(a))
			}
			topology.Spec.Nodes = append(topology.Spec.Nodes, n)
		}
		add("edge", topologies.RoleNLB, "192.168.2.2", "2001:db8:2::2")
		add("router", topologies.RoleRouter, "192.168.2.3", "2001:db8:2::3")
	})
	for _, v := range []Variant{dsr, snat} {
		require.NoError(t, tb.Install(t.Context(), v))
		require.NoError(t, tb.SetSpoofProtection(v.Name == "snat"))
		for _, e := range Edges() {
			t.Run(v.Name+"/"+e.String(), func(t *testing.T) {
				needBird(t, e)
				require.NoError(t, tb.SetEdge(t.Context(), e))
				for _, vip := range []string{"185.150.8.128:8080", "[2001:db8:8::128]:8080"} {
					want := allPreserved
					switch {
					case v.Name == "snat":
						want = allTranslated
					case e == EdgeStateful:
						want = none
					}
					tb.expectCalls(t, want, netip.MustParseAddrPort(vip), vip)
				}
			})
		}
	}
}

func TestEdgeErrors(t *testing.T) {
	tb := standWith(t, "talk", nil)
	require.EqualError(t, tb.SetEdge(t.Context(), "alb"), `edge: unknown edge "alb" (want one of none, nlb-stateless, nlb-stateful, bgp, bgp-bird)`)
	require.EqualError(t, tb.SetEdge(t.Context(), EdgeBGP), "set edge bgp: talk has no node of role router")
	e, err := tb.Edge()
	require.NoError(t, err)
	assert.Equal(t, EdgeNone, e)
}

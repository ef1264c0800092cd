package edge

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
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// edgeStand is the topology edge, with its pods' servers, and with the program that speaks BGP.
func edgeStand(t *testing.T) *testbed.Testbed { return edgeStandOf(t, "edge", nil) }

func edgeStandOf(t *testing.T, name string, change func(*topologies.Topology)) *testbed.Testbed {
	t.Helper()
	return serving(t, name, change)
}

var (
	snat      = testbed.Variant{Name: "snat", DataPath: testbed.DataPathDSRLab, Mode: services.ModeSNAT}
	kubeProxy = testbed.Variant{Name: "kube-proxy", DataPath: testbed.DataPathKubeProxy}
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
func needBird(t *testing.T, e testbed.Edge) {
	t.Helper()
	if _, err := exec.LookPath("bird"); err != nil && e == testbed.EdgeBird {
		t.Skip("BIRD is not installed: apt-get install bird2")
	}
}

// TestEdges: which data paths get on with what is in front of the LB nodes (claims NLB-1, NLB-3 and NLB-4).
func TestEdges(t *testing.T) {
	tb := edgeStand(t)
	for _, c := range []struct {
		variant testbed.Variant
		want    map[testbed.Edge]outcome
	}{
		{dsr, map[testbed.Edge]outcome{testbed.EdgeNone: allPreserved, testbed.EdgeStateless: allPreserved, testbed.EdgeStateful: none, testbed.EdgeBGP: allPreserved}},
		{snat, map[testbed.Edge]outcome{testbed.EdgeNone: allTranslated, testbed.EdgeStateless: allTranslated, testbed.EdgeStateful: allTranslated, testbed.EdgeBGP: allTranslated}},
		{kubeProxy, map[testbed.Edge]outcome{testbed.EdgeNone: allTranslated, testbed.EdgeStateless: allTranslated, testbed.EdgeStateful: allTranslated, testbed.EdgeBGP: allTranslated}},
	} {
		require.NoError(t, tb.Install(t.Context(), c.variant))
		for _, e := range []testbed.Edge{testbed.EdgeNone, testbed.EdgeStateless, testbed.EdgeStateful, testbed.EdgeBGP} {
			want := c.want[e]
			t.Run(fmt.Sprintf("%s/%s", c.variant.Name, e), func(t *testing.T) {
				require.NoError(t, Set(t.Context(), tb, e))
				before := arrived(t, tb)
				expectCalls(t, tb, want, echoVIP)
				after := arrived(t, tb)
				for name, was := range before {
					if name == "edge" || name == "router" {
						passed := roleOf(e) != "" && after[name]-was >= edgeCalls
						node, err := Node(tb, e)
						require.NoError(t, err)
						assert.Equal(t, node != nil && node.Name == name, passed, "%s: %d packets", name, after[name]-was)
					} else {
						assert.Greater(t, after[name], was, "flows come to every LB node, to %s too", name)
					}
				}
			})
		}
	}
	require.NoError(t, Set(t.Context(), tb, testbed.EdgeNone))
	require.NoError(t, tb.Install(t.Context(), dsr))
	expectCalls(t, tb, allPreserved, echoVIP, "nothing is left of an edge that is gone")
	checkNoEdge(t, tb)
}

// checkNoEdge checks that no place has anything left of an edge.
func checkNoEdge(t *testing.T, tb *testbed.Testbed) {
	t.Helper()
	for _, place := range []string{netns.Fabric, "edge", "router"} {
		require.NoError(t, tb.Network().Do(place, func() error {
			rules, err := netlink.RuleList(netlink.FAMILY_ALL)
			require.NoError(t, err)
			for _, r := range rules {
				assert.NotEqual(t, returnPriority, r.Priority, place)
			}
			left, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: returnTable}, netlink.RT_FILTER_TABLE)
			require.NoError(t, err)
			assert.Empty(t, left, place)
			for _, r := range vipRoutes(tb) {
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
	routes, err := VIPRoutes(tb, netns.Fabric)
	require.NoError(t, err)
	assert.Equal(t, vipRoutes(tb), routes)
}

// arrived are the packets that have come to each LB node, and to the NLB and the router.
func arrived(t *testing.T, tb *testbed.Testbed) map[string]uint64 {
	t.Helper()
	all := make(map[string]uint64)
	for _, n := range tb.Plan().Nodes {
		if n.Role == topologies.RoleClient || n.Role == topologies.RoleWorker {
			continue
		}
		toNode, _, err := tb.Network().PortStats(n.Name)
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
			n1, err := SpoofDrops(tb, n.Name)
			require.NoError(t, err)
			if n1 > 0 {
				at[n.Name] = n1
			}
			sum += n1
		}
		return sum, at
	}
	require.NoError(t, tb.Install(t.Context(), dsr))
	require.NoError(t, SetSpoofProtection(tb, true))
	i, err := Investigate(t.Context(), tb, "client")
	require.NoError(t, err)
	expectCalls(t, tb, none, echoVIP)
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

	for _, v := range []testbed.Variant{snat, kubeProxy} {
		require.NoError(t, tb.Install(t.Context(), v))
		require.NoError(t, SetSpoofProtection(tb, true))
		expectCalls(t, tb, allTranslated, echoVIP, v.Name)
		_, at := drops()
		assert.Empty(t, at, v.Name)
	}
	require.NoError(t, tb.Install(t.Context(), dsr))
	require.NoError(t, SetSpoofProtection(tb, false))
	expectCalls(t, tb, allPreserved, echoVIP)
	_, err = SpoofDrops(tb, "router")
	assert.EqualError(t, err, "spoof drops of router: want an LB or pod node")
}

// TestStatefulDiagnosis: DSR's answers go past the NLB, and the client does not know who answers.
func TestStatefulDiagnosis(t *testing.T) {
	tb := edgeStand(t)
	require.NoError(t, tb.Install(t.Context(), dsr))
	require.NoError(t, Set(t.Context(), tb, testbed.EdgeStateful))
	i, err := Investigate(t.Context(), tb, "client")
	require.NoError(t, err)
	expectCalls(t, tb, none, echoVIP)
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
	i, err = Investigate(t.Context(), tb, "client")
	require.NoError(t, err)
	expectCalls(t, tb, allTranslated, echoVIP)
	seen, err = i.Conclude()
	require.NoError(t, err)
	assert.Empty(t, Diagnose(seen))
	assert.Equal(t, 2*edgeCalls, seen.Calls)
}

// TestBGP: a real session from each LB node to the router, by our own speaker and by BIRD.
func TestBGP(t *testing.T) {
	tb := edgeStand(t)
	require.NoError(t, tb.Install(t.Context(), dsr))
	for _, e := range []testbed.Edge{testbed.EdgeBGP, testbed.EdgeBird} {
		t.Run(e.String(), func(t *testing.T) {
			needBird(t, e)
			require.NoError(t, Set(t.Context(), tb, e))
			nextHops := func() []netip.Addr {
				routes, err := VIPRoutes(tb, "router")
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
			require.NoError(t, StopAnnouncing(t.Context(), tb, "lb-2"))
			t.Logf("withdrawn after %v", time.Since(began))
			assert.Equal(t, []netip.Addr{all[0], all[2]}, nextHops())
			expectCalls(t, tb, allPreserved, echoVIP)
			began = time.Now()
			require.NoError(t, StartAnnouncing(t.Context(), tb, "lb-2"))
			t.Logf("learned after %v", time.Since(began))
			assert.Equal(t, all, nextHops())
			require.NoError(t, Set(t.Context(), tb, testbed.EdgeNone))
			routes, err := VIPRoutes(tb, "router")
			require.NoError(t, err)
			assert.Empty(t, routes)
			assert.False(t, tb.Network().IsRunning("bgp-router"))
			require.EqualError(t, StopAnnouncing(t.Context(), tb, "lb-2"),
				"announce on lb-2: want an LB node, and edge bgp or bgp-bird; the edge is none")
		})
	}
}

// TestBGPDeadNode: an LB node that falls silent, without a goodbye, loses its flows when its session's hold time is over.
func TestBGPDeadNode(t *testing.T) {
	tb := edgeStand(t)
	require.NoError(t, Set(t.Context(), tb, testbed.EdgeBGP))
	dead := tb.LBNodes()[1]
	hops := func() int {
		routes, err := VIPRoutes(tb, "router")
		require.NoError(t, err)
		require.Len(t, routes, 1)
		return len(routes[0].Via)
	}
	require.Equal(t, 3, hops())
	require.NoError(t, tb.Network().Do(netns.Fabric, func() error {
		port, err := netlink.LinkByName(dead.Port)
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(port)
	}))
	began := time.Now()
	require.Eventually(t, func() bool { return hops() == 2 }, bgp.HoldTime+patience, 20*time.Millisecond)
	t.Logf("withdrawn after %v", time.Since(began))
	routes, err := VIPRoutes(tb, "router")
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
	for _, v := range []testbed.Variant{dsr, snat} {
		require.NoError(t, tb.Install(t.Context(), v))
		require.NoError(t, SetSpoofProtection(tb, v.Name == "snat"))
		for _, e := range testbed.Edges() {
			t.Run(v.Name+"/"+e.String(), func(t *testing.T) {
				needBird(t, e)
				require.NoError(t, Set(t.Context(), tb, e))
				for _, vip := range []string{"185.150.8.128:8080", "[2001:db8:8::128]:8080"} {
					want := allPreserved
					switch {
					case v.Name == "snat":
						want = allTranslated
					case e == testbed.EdgeStateful:
						want = none
					}
					expectCalls(t, tb, want, netip.MustParseAddrPort(vip), vip)
				}
			})
		}
	}
}

func TestEdgeErrors(t *testing.T) {
	tb, _ := unserved(t, "talk", nil)
	require.EqualError(t, Set(t.Context(), tb, "alb"), `edge: unknown edge "alb" (want one of none, nlb-stateless, nlb-stateful, bgp, bgp-bird)`)
	require.EqualError(t, Set(t.Context(), tb, testbed.EdgeBGP), "set edge bgp: talk has no node of role router")
	e, err := Of(tb)
	require.NoError(t, err)
	assert.Equal(t, testbed.EdgeNone, e)
}

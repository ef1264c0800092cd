package e2e

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/dataplane/bgp"
	"github.com/dsrlab/dsrlab/dataplane/health"
	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// announcers are nodes with agents that announce VIPs.
type announcers struct {
	*cluster
	dsrd, objects, config string
	pids                  map[string]int
}

func startAnnouncers(t *testing.T, tb *cluster, dsrd, announce string) *announcers {
	t.Helper()
	a := &announcers{tb, dsrd, filepath.Join(t.TempDir(), "objects.yaml"), agentConfig + announce, map[string]int{}}
	putFile(t, a.objects, tb.agentObjects(t, ""))
	for _, n := range tb.ClusterNodes() {
		a.start(t, n.Name)
	}
	return a
}

func (a *announcers) start(t *testing.T, node string) {
	t.Helper()
	a.pids[node] = a.startAgentWith(t, a.dsrd, node, a.objects, a.config)
}

func (a *announcers) alive(node string) bool { return syscall.Kill(a.pids[node], 0) == nil }

func (a *announcers) stop(t *testing.T, node string, signal syscall.Signal) {
	t.Helper()
	require.NoError(t, syscall.Kill(a.pids[node], signal))
	require.Eventually(t, func() bool { return !a.alive(node) }, labtest.Patience, 10*time.Millisecond)
}

// TestAnnounceBGP: agents tell a router about the VIP: all of them, or with externalTrafficPolicy Local those with pods of it; nobody
// where there are no pods; who ends takes its route back first and fails healthz, and who is killed is forgotten.
func TestAnnounceBGP(t *testing.T) {
	tb, pods := newCluster(t, "edge")
	labtest.Serve(t, tb, pods)
	i := slices.IndexFunc(tb.Plan().Nodes, func(n topologies.Node) bool { return n.Role == topologies.RoleRouter })
	router := tb.Plan().Nodes[i]
	argv := []string{programs.Program(t, "labpod"), "bgp", "learn", "--id", router.Addresses[0].Addr().String()}
	var all []netip.Addr
	for _, n := range tb.ClusterNodes() {
		all = append(all, n.Addresses[0].Addr())
		argv = append(argv, "--peer", n.Addresses[0].Addr().String())
	}
	_, err := tb.Network().Start(t.Context(), router.Name, netns.Process{Name: "bgp-router", Argv: argv})
	require.NoError(t, err)
	a := startAnnouncers(t, tb, programs.Program(t, "dsrd"), fmt.Sprintf("announce: {mode: bgp, cidrs: [185.150.8.0/24], asn: %d, peers: [{address: %s, asn: %d}], holdSeconds: 3}\ndrainSeconds: 5\n",
		bgp.ClusterASN, router.Addresses[0].Addr(), bgp.RouterASN))
	hops := func() []netip.Addr {
		routes, err := edge.VIPRoutes(tb.Testbed, router.Name)
		require.NoError(t, err)
		if len(routes) == 0 {
			return nil
		}
		return routes[0].Via
	}
	become := func(want []netip.Addr) {
		t.Helper()
		began := time.Now()
		require.Eventually(t, func() bool { return slices.Equal(hops(), want) }, time.Minute, 10*time.Millisecond, "want %v, have %v", want, hops())
		t.Logf("after %v", time.Since(began))
	}
	without := func(node string) []netip.Addr {
		return slices.DeleteFunc(slices.Clone(all), func(hop netip.Addr) bool { return hop.String() == tb.addressOf(t, node) })
	}
	become(all)
	tb.routeVIP(t, router)
	tb.allPreserved(t, vip)

	t.Run("local pods", func(t *testing.T) {
		service := tb.Plan().Services[0].DeepCopy()
		service.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		was := tb.Plan().Services[0]
		tb.Plan().Services[0] = *service
		putFile(t, a.objects, tb.agentObjects(t, ""))
		tb.Plan().Services[0] = was
		become([]netip.Addr{tb.nodeOf(t, "worker-1").Addresses[0].Addr(), tb.nodeOf(t, "worker-2").Addresses[0].Addr()})
		tb.allPreserved(t, vip)
		putFile(t, a.objects, tb.agentObjects(t, ""))
		become(all)
	})

	t.Run("no pods", func(t *testing.T) {
		var pods []string
		for _, p := range tb.Plan().Pods {
			pods = append(pods, p.Name)
		}
		putFile(t, a.objects, tb.agentObjects(t, "", pods...))
		become(nil)
		putFile(t, a.objects, tb.agentObjects(t, ""))
		become(all)
	})

	t.Run("ends", func(t *testing.T) {
		healthy := func(path string) int {
			status, _ := tb.get(t, "lb-2", fmt.Sprintf("http://%s:%d/%s", tb.addressOf(t, "lb-2"), health.ProxyPort, path))
			return status
		}
		assert.Equal(t, [2]int{200, 200}, [2]int{healthy("healthz"), healthy("livez")})
		require.NoError(t, syscall.Kill(a.pids["lb-2"], syscall.SIGTERM))
		become(without("lb-2"))
		assert.Equal(t, [2]int{503, 200}, [2]int{healthy("healthz"), healthy("livez")}, "it drains")
		assert.True(t, a.alive("lb-2"), "it takes its route back as soon as it is told to end")
		for a.alive("lb-2") {
			tb.allPreserved(t, vip)
		}
		a.start(t, "lb-2")
		become(all)
	})

	t.Run("is killed", func(t *testing.T) {
		a.stop(t, "worker-1", syscall.SIGKILL)
		become(without("worker-1"))
		tb.allPreserved(t, vip)
	})
}

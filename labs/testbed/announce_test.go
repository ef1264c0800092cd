package testbed

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/arp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/labs/bgp"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// leaveTimeout is for a connection while the node that answers for a VIP leaves: it may lose a SYN or two, which the client sends again
// after 1 s and 3 s, but not wait until the others have missed that node, 3 s after it is silent, whose next SYN is due at 7 s.
const leaveTimeout = 6 * time.Second

// announcers are nodes with agents that announce VIPs.
type announcers struct {
	*Testbed
	dsrd, objects, config string
	pids                  map[string]int
}

func startAnnouncers(t *testing.T, tb *Testbed, dsrd, announce string) *announcers {
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
	require.Eventually(t, func() bool { return !a.alive(node) }, patience, 10*time.Millisecond)
}

// unready marks a node in documents.
func unready(t *testing.T, documents []byte, node string) []byte {
	t.Helper()
	parts := bytes.Split(documents, []byte("---\n"))
	i := slices.IndexFunc(parts, func(d []byte) bool {
		return bytes.Contains(d, []byte("kind: Node\n")) && bytes.Contains(d, []byte("name: "+node+"\n"))
	})
	require.GreaterOrEqual(t, i, 0)
	parts[i] = bytes.Replace(parts[i], []byte("status:\n"), []byte("status:\n  conditions: [{type: Ready, status: Unknown}]\n"), 1)
	return bytes.Join(parts, []byte("---\n"))
}

// lanStand is dual-stack with its client among the nodes; VIPs are on the wire, by no route over a node.
func lanStand(t *testing.T) (tb *Testbed, dsrd string, vips []netip.AddrPort) {
	t.Helper()
	dsrd = buildAgent(t)
	tb = standOf(t, "dual-stack", Options{Agent: dsrd}, func(topology *topologies.Topology) {
		topology.Spec.Networks = topology.Spec.Networks[1:]
		for i := range topology.Spec.Nodes {
			n := &topology.Spec.Nodes[i]
			if n.Link = (topologies.LinkSpec{}); n.Role == topologies.RoleClient {
				n.Addresses = []netip.Addr{netip.MustParseAddr("192.168.2.202"), netip.MustParseAddr("2001:db8:2::202")}
			}
		}
	})
	lineServers(t, tb, 5201)
	for _, ingress := range tb.plan.Services[0].Status.LoadBalancer.Ingress {
		vip := netip.MustParseAddr(ingress.IP)
		vips = append(vips, netip.AddrPortFrom(vip, 5201))
		require.NoError(t, tb.network.Do("client", func() error {
			device, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			return netlink.RouteReplace(&netlink.Route{Dst: netlink.NewIPNet(vip.AsSlice()), LinkIndex: device.Attrs().Index, Scope: netlink.SCOPE_LINK})
		}))
	}
	require.Len(t, vips, 2)
	return tb, dsrd, vips
}

// heldBy is the node whose Ethernet address the client has for a VIP; empty: it has none.
func (a *announcers) heldBy(t *testing.T, vip netip.Addr) string {
	t.Helper()
	name := ""
	require.NoError(t, a.network.Do("client", func() error {
		list, err := netlink.NeighList(0, 0)
		for _, n := range list {
			if have, ok := netip.AddrFromSlice(n.IP); ok && have.Unmap() == vip && n.State&(netlink.NUD_FAILED|netlink.NUD_INCOMPLETE) == 0 {
				for _, node := range a.plan.Nodes {
					if node.MAC.String() == n.HardwareAddr.String() {
						name = node.Name
					}
				}
			}
		}
		return err
	}))
	return name
}

// forget makes the client ask again who has a VIP.
func (a *announcers) forget(t *testing.T, vip netip.Addr) {
	t.Helper()
	require.NoError(t, a.network.Do("client", func() error {
		list, err := netlink.NeighList(0, 0)
		for i := range list {
			if have, ok := netip.AddrFromSlice(list[i].IP); ok && have.Unmap() == vip {
				_ = netlink.NeighDel(&list[i])
			}
		}
		return err
	}))
}

// TestAnnounceL2: a client in the nodes' network finds VIPs by ARP and NDP. One node answers; another does when its agent is killed,
// when it is not ready, and when it leaves, and connections go on.
func TestAnnounceL2(t *testing.T) {
	tb, dsrd, vips := lanStand(t)
	a := startAnnouncers(t, tb, dsrd, "announce: {mode: l2, cidrs: [185.150.8.0/24, \"2001:db8:8::/64\"]}\ndrainSeconds: 5\n")
	four, six := vips[0].Addr(), vips[1].Addr()
	var connections []caller
	for _, vip := range vips {
		c := tb.call(t, "client", vip)
		c.ask(t)
		connections = append(connections, c)
	}
	goOn := func() {
		t.Helper()
		for _, c := range connections {
			c.ask(t)
		}
	}
	becomes := func(vip netip.Addr, other func(string) bool) string {
		t.Helper()
		began, now := time.Now(), ""
		require.Eventually(t, func() bool { now = a.heldBy(t, vip); return now != "" && other(now) }, patience, 10*time.Millisecond,
			"%s is held by %s", vip, now)
		t.Logf("%s is %s's after %v", vip, now, time.Since(began))
		return now
	}
	not := func(name string) func(string) bool { return func(now string) bool { return now != name } }
	is := func(name string) func(string) bool { return func(now string) bool { return now == name } }
	first := map[netip.Addr]string{four: a.heldBy(t, four), six: a.heldBy(t, six)}
	require.NotEmpty(t, first[four])
	require.NotEmpty(t, first[six])
	assert.NotZero(t, tb.count(t, "reply-direct"), "by DSR")
	goOn()

	t.Run("one answers", func(t *testing.T) {
		var from []string
		require.NoError(t, tb.network.Do("client", func() error {
			device, err := net.InterfaceByName("eth0")
			if err != nil {
				return err
			}
			c, err := arp.Dial(device)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := errorsOf(c.Request(four), c.SetReadDeadline(time.Now().Add(patience))); err != nil {
				return err
			}
			for {
				p, _, err := c.Read()
				if err != nil {
					return nil
				}
				if p.Operation == arp.OperationReply && p.SenderIP == four {
					from = append(from, p.SenderHardwareAddr.String())
					if err := c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil { // for others, who have had the request as well
						return err
					}
				}
			}
		}))
		assert.Len(t, from, 1)
	})

	for _, vip := range []netip.Addr{four, six} {
		t.Run("its agent is killed: "+vip.String(), func(t *testing.T) {
			a.stop(t, first[vip], syscall.SIGKILL)
			becomes(vip, not(first[vip]))
			goOn()
			a.forget(t, vip)
			tb.call(t, "client", netip.AddrPortFrom(vip, 5201)).ask(t)
			a.start(t, first[vip])
			becomes(vip, is(first[vip]))
			goOn()
		})
	}

	t.Run("not ready", func(t *testing.T) {
		putFile(t, a.objects, unready(t, tb.agentObjects(t, ""), first[four]))
		becomes(four, not(first[four]))
		goOn()
		putFile(t, a.objects, tb.agentObjects(t, ""))
		becomes(four, is(first[four]))
	})

	t.Run("leaves", func(t *testing.T) {
		require.NoError(t, syscall.Kill(a.pids[first[four]], syscall.SIGTERM))
		calls := 0
		for a.alive(first[four]) {
			a.forget(t, four)
			tb.callWithin(t, "client", vips[0], leaveTimeout).ask(t)
			calls++
		}
		t.Logf("%d connections while it ended, each after the client had forgotten who has the VIP", calls)
		becomes(four, not(first[four]))
		goOn()
	})
}

func errorsOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestAnnounceBGP: agents tell a router about the VIP: all of them, or with externalTrafficPolicy Local those with pods of it; who
// ends takes its route back first, and who is killed is forgotten.
func TestAnnounceBGP(t *testing.T) {
	tb := edgeStand(t)
	i := slices.IndexFunc(tb.plan.Nodes, func(n topologies.Node) bool { return n.Role == topologies.RoleRouter })
	router := tb.plan.Nodes[i]
	argv := []string{tb.labPod, "bgp", "learn", "--id", router.Address.Addr().String()}
	var all []netip.Addr
	for _, n := range tb.ClusterNodes() {
		all = append(all, n.Address.Addr())
		argv = append(argv, "--peer", n.Address.Addr().String())
	}
	_, err := tb.network.Start(t.Context(), router.Name, netns.Process{Name: routerProcess, Argv: argv})
	require.NoError(t, err)
	a := startAnnouncers(t, tb, buildAgent(t), fmt.Sprintf("announce: {mode: bgp, cidrs: [185.150.8.0/24], asn: %d, peers: [{address: %s, asn: %d}], holdSeconds: 3}\ndrainSeconds: 5\n",
		bgp.ClusterASN, router.Address.Addr(), bgp.RouterASN))
	hops := func() []netip.Addr {
		routes, err := tb.VIPRoutes(router.Name)
		require.NoError(t, err)
		if len(routes) == 0 {
			return nil
		}
		return routes[0].Via
	}
	become := func(want []netip.Addr) {
		t.Helper()
		began := time.Now()
		require.Eventually(t, func() bool { return slices.Equal(hops(), want) }, learnTimeout+patience, 10*time.Millisecond, "want %v, have %v", want, hops())
		t.Logf("after %v", time.Since(began))
	}
	without := func(node string) []netip.Addr {
		return slices.DeleteFunc(slices.Clone(all), func(hop netip.Addr) bool { return hop.String() == tb.addressOf(t, node) })
	}
	become(all)
	routeVIP(t, tb, echoVIP.Addr(), router)
	tb.expectCalls(t, allPreserved, echoVIP)

	t.Run("local pods", func(t *testing.T) {
		service := tb.plan.Services[0].DeepCopy()
		service.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		was := tb.plan.Services[0]
		tb.plan.Services[0] = *service
		putFile(t, a.objects, tb.agentObjects(t, ""))
		tb.plan.Services[0] = was
		become([]netip.Addr{tb.nodeOf(t, "worker-1").Address.Addr(), tb.nodeOf(t, "worker-2").Address.Addr()})
		tb.expectCalls(t, allPreserved, echoVIP)
		putFile(t, a.objects, tb.agentObjects(t, ""))
		become(all)
	})

	t.Run("ends", func(t *testing.T) {
		require.NoError(t, syscall.Kill(a.pids["lb-2"], syscall.SIGTERM))
		become(without("lb-2"))
		assert.True(t, a.alive("lb-2"), "it takes its route back as soon as it is told to end")
		for a.alive("lb-2") {
			tb.expectCalls(t, allPreserved, echoVIP)
		}
		a.start(t, "lb-2")
		become(all)
	})

	t.Run("is killed", func(t *testing.T) {
		a.stop(t, "worker-1", syscall.SIGKILL)
		become(without("worker-1"))
		tb.expectCalls(t, allPreserved, echoVIP)
	})
}

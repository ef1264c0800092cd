package baseline

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// demo are services over the pods of newNetwork, as seen by the LB node.
func demo(form Form) Config {
	const tcp, udp = services.TCP, services.UDP
	var t tables
	t.backend("lb", "10.0.0.2:8080", tcp).backend("worker", "10.0.1.2:8080", tcp).backend("worker", "10.0.1.3:8080", tcp)
	t.backend("lb", "10.0.0.2:8080", udp).backend("worker", "10.0.1.2:8080", udp).backend("worker", "10.0.1.3:8080", udp)
	t.backend("worker", "[fd00:1::2]:8080", tcp).backend("worker", "[fd00:1::3]:8080", udp).backend("lb", "[fd00::2]:8080", tcp)
	lb, local, remote := services.KindLoadBalancer, true, false
	t.frontend(lb, "default/cluster", "tcp", vip+":80", tcp, remote, 1, 2)
	t.frontend(services.KindNodePort, "default/cluster", "tcp", "192.0.2.11:31000", tcp, remote, 1, 2)
	t.frontend(lb, "default/cluster", "udp", vip+":80", udp, remote, 4, 5)
	t.frontend(lb, "default/cluster", "tcp", "["+vip6+"]:80", tcp, remote, 6)
	t.frontend(lb, "default/cluster", "udp", "["+vip6+"]:80", udp, remote, 7)
	t.frontend(lb, "default/local", "tcp", vip+":81", tcp, local, 0, 1)
	t.frontend(lb, "default/local", "udp", vip+":81", udp, local, 3, 4)
	t.frontend(lb, "default/local", "tcp", "["+vip6+"]:81", tcp, local, 6, 8)
	t.frontend(lb, "default/away", "", vip+":82", tcp, local, 1)
	t.frontend(lb, "default/empty", "", vip+":83", tcp, remote)
	t.frontend(lb, "default/empty", "", "["+vip6+"]:83", tcp, remote)
	t.frontend(lb, "default/sticky", "", vip+":84", tcp, remote, 0, 1, 2).Affinity = time.Hour
	t.frontend(lb, "default/friends", "", vip+":85", tcp, remote, 1).SourceRanges = prefixes("192.0.2.0/25", "198.51.100.0/24")
	t.frontend(lb, "default/strangers", "", vip+":86", tcp, remote, 1).SourceRanges = prefixes("192.0.2.128/25", "198.51.100.0/24")
	return Config{
		Form: form, Tables: &t.Tables, Node: "lb",
		NodeAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8::11")},
		PodCIDRs:      prefixes("10.0.0.0/16", "fd00::/47"),
	}
}

func prefixes(all ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range all {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func (n *network) install(config Config) {
	n.t.Helper()
	require.NoError(n.t, Install(n.t.Context(), int(n.lb.ns), config))
}

func (n *network) status() *Status {
	n.t.Helper()
	status, err := Read(n.t.Context(), int(n.lb.ns))
	require.NoError(n.t, err)
	return status
}

func TestCluster(t *testing.T) {
	n := newNetwork(t)
	for _, c := range []struct {
		name, protocol, to, seen string
		pods                     []string
	}{
		{"TCP", "tcp", vip + ":80", "192.0.2.11", []string{"worker-pod-1", "worker-pod-2"}},
		{"UDP", "udp", vip + ":80", "192.0.2.11", []string{"worker-pod-1", "worker-pod-2"}},
		{"NodePort", "tcp", "192.0.2.11:31000", "192.0.2.11", []string{"worker-pod-1", "worker-pod-2"}},
		{"TCP over IPv6", "tcp", "[" + vip6 + "]:80", "2001:db8::11", []string{"worker-pod-1"}},
		{"UDP over IPv6", "udp", "[" + vip6 + "]:80", "2001:db8::11", []string{"worker-pod-2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const connections = 100
			n.install(Config{Form: FormNone})
			n.install(demo(FormKubeProxy)) // counts from zero
			pods, seen := n.client.askTimes(connections, c.protocol, c.to)
			assert.Equal(t, map[string]int{c.seen: connections}, seen, "the pod sees the node")
			assert.Len(t, pods, len(c.pods))
			for _, pod := range c.pods {
				// With two pods 50 are expected, with a deviation of 5: 20 is six of them away.
				assert.GreaterOrEqual(t, pods[pod], 20, "random spreads over all pods")
			}
			status := n.status()
			assert.Equal(t, FormKubeProxy, status.Form)
			// A source port that comes up twice belongs to the same connection for conntrack. Of 100 out of 28,000 more than 8 do so in less
			// than 1 of 10^12 runs.
			assert.InDelta(t, connections, status.Masqueraded(), 8)
			var counted uint64
			for _, chain := range status.Chains {
				if chain.Endpoint.IsValid() {
					counted += chain.Packets
				}
			}
			assert.Equal(t, status.Masqueraded(), counted)
		})
	}
	before := n.status().Connections(netip.MustParseAddrPort("[fd00:1::3]:8080"))
	assert.Positive(t, before)
	n.install(elsewhere(demo(FormKubeProxy)))
	assert.Equal(t, before, n.status().Connections(netip.MustParseAddrPort("[fd00:1::3]:8080")), "what stays goes on counting")
}

func TestLocal(t *testing.T) {
	n := newNetwork(t)
	n.install(demo(FormKubeProxy))
	for _, c := range []struct{ protocol, to, seen string }{
		{"tcp", vip + ":81", "192.0.2.10"}, {"udp", vip + ":81", "192.0.2.10"}, {"tcp", "[" + vip6 + "]:81", "2001:db8::10"},
	} {
		pods, seen := n.client.askTimes(20, c.protocol, c.to)
		assert.Equal(t, map[string]int{"lb-pod": 20}, pods, "%s %s", c.protocol, c.to)
		assert.Equal(t, map[string]int{c.seen: 20}, seen, "the pod sees the client")
	}
	assert.Zero(t, n.status().Masqueraded())

	// Without a pod here it is dropped, without one anywhere rejected.
	_, err := n.client.ask("tcp", vip+":82", 300*time.Millisecond)
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout(), "%v", err)
	for _, to := range []string{vip + ":83", "[" + vip6 + "]:83"} {
		before := n.status().Rejected()
		_, err = n.client.ask("tcp", to, 5*time.Second)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		// Over IPv6 the answer to the first packet may fall to the rate limit, which redirects count against too.
		assert.Greater(t, n.status().Rejected(), before)
	}
	// A pod of this node is not bound by policy Local: as if it had come in through a load balancer elsewhere.
	got, err := n.pods[0].ask("tcp", vip+":82", 5*time.Second)
	require.NoError(t, err)
	assert.Equal(t, "worker-pod-1", got.pod)
}

func TestAffinityAndSourceRanges(t *testing.T) {
	n := newNetwork(t)
	n.install(demo(FormKubeProxy))
	pods, _ := n.client.askTimes(20, "tcp", vip+":84")
	assert.Len(t, pods, 1, "a client keeps its pod")

	_, err := n.client.ask("tcp", vip+":85", 5*time.Second)
	require.NoError(t, err)
	_, err = n.client.ask("tcp", vip+":86", 300*time.Millisecond)
	assert.Error(t, err, "no friend of this service")
}

// The pod of another node answers the client directly, with its own address, and the client rejects that (claim SNAT-2).
// A pod of this node answers through the translation.
func TestDNATOnly(t *testing.T) {
	n := newNetwork(t)
	n.install(demo(FormDNATOnly))
	assert.Equal(t, FormDNATOnly, n.status().Form)
	before := n.client.snmp("Tcp", "OutRsts")
	_, err := n.client.ask("tcp", vip+":80", 300*time.Millisecond)
	require.Error(t, err)
	require.Eventually(t, func() bool { return n.client.snmp("Tcp", "OutRsts") > before }, time.Minute, 10*time.Millisecond,
		"the client resets what it did not ask for")
	_, err = n.client.ask("udp", vip+":80", 300*time.Millisecond)
	require.Error(t, err)

	got, err := n.client.ask("tcp", vip+":81", 5*time.Second)
	require.NoError(t, err)
	assert.Equal(t, "lb-pod", got.pod)
	assert.Equal(t, "192.0.2.10", got.seen.Addr().String())
	assert.Zero(t, n.status().Masqueraded())
}

func (n *network) tables() []string {
	n.t.Helper()
	conn, err := nftables.New(nftables.WithNetNSFd(int(n.lb.ns)))
	require.NoError(n.t, err)
	all, err := conn.ListTables()
	require.NoError(n.t, err)
	names := []string{}
	for _, table := range all {
		names = append(names, table.Name)
	}
	return names
}

// masqueraded counts the connections that the LB node's conntrack has given the node's address.
func (n *network) masqueraded() (count int) {
	n.t.Helper()
	handle, err := netlink.NewHandleAt(n.lb.ns, unix.NETLINK_NETFILTER)
	require.NoError(n.t, err)
	defer handle.Close()
	flows, err := handle.ConntrackTableList(netlink.ConntrackTable, netlink.FAMILY_V4)
	require.NoError(n.t, err)
	for _, flow := range flows {
		if flow.Reverse.DstIP.String() == "192.0.2.11" {
			count++
		}
	}
	return count
}

func TestRemove(t *testing.T) {
	n := newNetwork(t)
	ctx, ns := t.Context(), int(n.lb.ns)
	require.NoError(t, Remove(ctx, ns), "nothing to remove")

	foreign, err := nftables.New(nftables.WithNetNSFd(ns))
	require.NoError(t, err)
	foreign.AddTable(&nftables.Table{Name: "somebody", Family: nftables.TableFamilyINet})
	foreign.AddTable(&nftables.Table{Name: "kube-proxy", Family: nftables.TableFamilyINet}) // not a family of ours
	require.NoError(t, foreign.Flush())

	n.install(demo(FormKubeProxy))
	_, err = n.client.ask("tcp", vip+":80", 5*time.Second)
	require.NoError(t, err)
	assert.Len(t, n.tables(), 4)
	assert.Positive(t, n.masqueraded())
	n.install(demo(FormDNATOnly))
	assert.ElementsMatch(t, []string{"somebody", "kube-proxy", "dnat-only", "dnat-only"}, n.tables())
	assert.Zero(t, n.masqueraded(), "connections of another form are forgotten")

	require.NoError(t, Install(ctx, ns, Config{Form: FormNone}))
	assert.ElementsMatch(t, []string{"somebody", "kube-proxy"}, n.tables())
	require.NoError(t, Remove(ctx, ns))
	assert.Equal(t, &Status{Form: FormNone}, n.status())
}

// elsewhere changes other services than default/cluster: one has another endpoint, one is new, one has no endpoint any more, and
// two are gone.
func elsewhere(config Config) Config {
	changed := *config.Tables
	changed.Frontends = nil
	for _, f := range config.Tables.Frontends {
		switch f.Service {
		case "default/local":
			f.Backends = f.Backends[:1]
		case "default/away":
			f.Backends = nil
		case "default/empty", "default/sticky":
			continue
		}
		changed.Frontends = append(changed.Frontends, f)
	}
	more := tables{Tables: changed}
	more.frontend(services.KindLoadBalancer, "default/new", "", vip+":87", services.TCP, false, 1, 2)
	config.Tables = &more.Tables
	return config
}

// Other services change while connections are made: none fails.
func TestReplaceIsAtomic(t *testing.T) {
	n := newNetwork(t)
	n.install(demo(FormKubeProxy))
	installed := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 100 && err == nil; i++ {
			config := demo(FormKubeProxy)
			if i%2 == 0 {
				config = elsewhere(config)
			}
			err = Install(t.Context(), int(n.lb.ns), config)
		}
		installed <- err
	}()
	for asked := 0; ; asked++ {
		select {
		case err := <-installed:
			require.NoError(t, err)
			t.Logf("%d connections", asked)
			return
		default:
			got, err := n.client.ask("tcp", vip+":80", 5*time.Second)
			require.NoError(t, err, "connection %d", asked)
			require.Equal(t, "192.0.2.11", got.seen.Addr().String())
		}
	}
}

// A UDP client that keeps its port is sent to another pod when its own is gone, and stays with it otherwise.
func TestStaleUDP(t *testing.T) {
	n := newNetwork(t)
	config := demo(FormKubeProxy)
	n.install(config)
	var conn net.Conn
	require.NoError(t, n.client.in(func() (err error) {
		conn, err = net.Dial("udp", vip+":80")
		return err
	}))
	defer conn.Close()
	first, err := talk(conn, 5*time.Second)
	require.NoError(t, err)

	n.install(config)
	again, err := talk(conn, 5*time.Second)
	require.NoError(t, err)
	assert.Equal(t, first, again)

	gone := map[string]int{"worker-pod-1": 4, "worker-pod-2": 5}[first.pod]
	for i := range config.Tables.Frontends {
		if f := &config.Tables.Frontends[i]; f.Service == "default/cluster" && f.Protocol == services.UDP && f.Address.Is4() {
			f.Backends = []int{9 - gone}
		}
	}
	n.install(config)
	moved, err := talk(conn, 5*time.Second)
	require.NoError(t, err)
	assert.NotEqual(t, first.pod, moved.pod)
}

// Rulesets of a real cluster's size go in as one transaction: neither the messages nor the kernel's answers get lost.
func TestInstallLarge(t *testing.T) {
	n := newNetwork(t)
	var all tables
	var every []int
	for i := range 2000 {
		every = append(every, i)
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 8080)
		all.backend("worker", at.String(), services.TCP)
	}
	all.frontend(services.KindLoadBalancer, "default/many-endpoints", "", vip+":80", services.TCP, false, every...)
	for i := range 300 {
		at := netip.AddrPortFrom(netip.MustParseAddr(vip), uint16(1000+i))
		all.frontend(services.KindLoadBalancer, fmt.Sprintf("default/service-%d", i), "", at.String(), services.TCP, false, i, i+1, i+2)
	}
	config := demo(FormKubeProxy)
	config.Tables = &all.Tables
	for range 2 {
		start := time.Now()
		n.install(config)
		t.Logf("installed in %s", time.Since(start).Round(time.Millisecond))
	}
	status := n.status()
	var endpoints int
	for _, chain := range status.Chains {
		if chain.Endpoint.IsValid() {
			endpoints++
		}
	}
	assert.Equal(t, 2000+3*300, endpoints)
}

package baseline

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

var update = flag.Bool("update", false, "write the golden files")

// The names are those that kube-proxy gives to the same things (pkg/proxy/nftables/proxier_test.go).
func TestNames(t *testing.T) {
	assert.Equal(t, "ULMVA6XW-ns1/svc1/tcp/p80", servicePortName("ns1/svc1", services.TCP, "p80"))
	assert.Equal(t, "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80",
		endpointName("ns1/svc1", services.TCP, "p80", netip.MustParseAddrPort("10.180.0.1:80")))
	long := strings.Repeat("n", 130)
	name := endpointName(long+"/"+long, services.UDP, "", netip.MustParseAddrPort("[2001:db8::1]:53"))
	assert.Len(t, name, 240)
	assert.True(t, strings.HasSuffix(name, "..."))
}

func TestEndpointOf(t *testing.T) {
	for _, endpoint := range []string{"10.0.1.2:8080", "[2001:db8::1]:53", "[::1:2]:1"} {
		want := netip.MustParseAddrPort(endpoint)
		got, ok := endpointOf(family{want.Addr().Is6()}, prefixEndpoint+endpointName("a/b", services.TCP, "", want))
		assert.True(t, ok)
		assert.Equal(t, want, got)
	}
	_, ok := endpointOf(family{}, "service-5OJB2KTY-ns1/svc1/tcp/p80")
	assert.False(t, ok)
}

// tables builds tables by hand: frontends name their backends by index.
type tables struct{ services.Tables }

func (t *tables) backend(node, at string, protocol services.Protocol) *tables {
	a := netip.MustParseAddrPort(at)
	t.Backends = append(t.Backends, services.Backend{Address: a.Addr(), Port: a.Port(), Protocol: protocol, Node: node, Weight: 1})
	return t
}

func (t *tables) frontend(kind services.Kind, service, port, at string, protocol services.Protocol, local bool, backends ...int) *services.Frontend {
	a := netip.MustParseAddrPort(at)
	t.Frontends = append(t.Frontends, services.Frontend{
		Address: a.Addr(), Port: a.Port(), Protocol: protocol, Kind: kind, Service: service, PortName: port,
		Mode: services.ModeSNAT, LocalOnly: local, Backends: backends,
	})
	return &t.Frontends[len(t.Frontends)-1]
}

// example has each thing that gives rules: both policies, both protocols, source ranges, affinity, services without endpoints
// anywhere and without any here, and with v6 the same for IPv6.
func example(v6 bool) Config {
	address := func(four, six string) string {
		if v6 {
			return six
		}
		return four
	}
	var t tables
	const tcp, udp = services.TCP, services.UDP
	t.backend("lb", address("10.0.0.2:8080", "[fd00::2]:8080"), tcp).
		backend("worker", address("10.0.1.2:8080", "[fd00:1::2]:8080"), tcp).
		backend("worker", address("10.0.1.2:53", "[fd00:1::2]:53"), udp)
	vip := func(port string) string { return address("203.0.113.1", "[2001:db8:1::1]") + ":" + port }

	cluster := address("10.96.0.10:80", "[fd00:96::10]:80")
	t.frontend(services.KindClusterIP, "default/echo", "tcp", cluster, tcp, false, 0, 1)
	t.frontend(services.KindLoadBalancer, "default/echo", "tcp", vip("80"), tcp, false, 0, 1).SourceRanges = []netip.Prefix{
		netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("198.51.102.0/24"), netip.MustParsePrefix("2001:db8:2::/48"),
		netip.MustParsePrefix("198.51.100.0/25"), netip.MustParsePrefix("2001:db8:4::/48"),
	}
	t.frontend(services.KindNodePort, "default/echo", "tcp", address("192.0.2.11:31000", "[2001:db8::11]:31000"), tcp, false, 0, 1)
	t.frontend(services.KindLoadBalancer, "default/echo", "udp", vip("53"), udp, false, 2)

	t.frontend(services.KindLoadBalancer, "shop/local", "", vip("8080"), tcp, true, 0, 1).Affinity = 3 * time.Hour
	t.frontend(services.KindNodePort, "shop/local", "", address("192.0.2.11:31001", "[2001:db8::11]:31001"), tcp, true, 0, 1).Affinity = 3 * time.Hour
	t.frontend(services.KindExternalIP, "shop/remote", "", vip("8081"), tcp, true, 1)
	t.frontend(services.KindNodePort, "shop/remote", "", address("192.0.2.11:31002", "[2001:db8::11]:31002"), tcp, true, 1)
	t.frontend(services.KindLoadBalancer, "shop/empty", "", vip("8082"), tcp, false)
	t.frontend(services.KindClusterIP, "shop/empty", "", address("10.96.0.11:8082", "[fd00:96::11]:8082"), tcp, false)
	t.frontend(services.KindLoadBalancer, "shop/closed", "", vip("8083"), tcp, false, 1).SourceRanges =
		[]netip.Prefix{netip.MustParsePrefix(address("2001:db8::/32", "192.0.2.0/24"))}
	return Config{
		Form: FormKubeProxy, Tables: &t.Tables, Node: "lb",
		NodeAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8::11")},
		PodCIDRs:      []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("fd00::/47")},
	}
}

func TestRender(t *testing.T) {
	dnat := example(false)
	dnat.Form = FormDNATOnly
	worker := example(false)
	worker.Node, worker.PodCIDRs, worker.NodeAddresses = "worker", nil, nil
	for name, config := range map[string]Config{
		"kube-proxy": example(false), "kube-proxy6": example(true), "dnat-only": dnat, "worker": worker,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := render(config)
			require.NoError(t, err)
			file := filepath.Join("testdata", name+".nft")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
		})
	}
	none, err := render(Config{Form: FormNone})
	require.NoError(t, err)
	assert.Empty(t, none)
}

func TestConfigErrors(t *testing.T) {
	_, err := render(Config{Form: "iptables", NodeAddresses: []netip.Addr{{}, netip.MustParseAddr("::1")}, PodCIDRs: []netip.Prefix{{}}})
	assert.EqualError(t, err, `form "iptables": use kube-proxy, dnat-only or none
node: must be named, or no backend is local
tables: must be given
node address invalid IP: use an IPv4 or IPv6 address of the network
node address ::1: use an IPv4 or IPv6 address of the network
pod CIDR invalid Prefix: use a prefix like 10.0.0.0/24`)
	assert.EqualError(t, Install(t.Context(), 0, example(false)), "install kube-proxy rules: network namespace: file descriptor 0 is none, "+
		"use that of an open namespace")
}

func TestDisjoint(t *testing.T) {
	assert.Equal(t, prefixes("10.0.0.0/8", "192.0.2.0/24"), disjoint(prefixes("192.0.2.0/24", "10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8")))
	assert.Equal(t, prefixes("0.0.0.0/0"), disjoint(prefixes("10.0.0.0/8", "0.0.0.0/0")))
}

func TestIntervals(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []string
		want []string // begin, or ]end
	}{
		{"apart", []string{"10.0.0.0/8", "192.0.2.0/24"}, []string{"10.0.0.0", "]11.0.0.0", "192.0.2.0", "]192.0.3.0"}},
		{"side by side", []string{"10.0.0.0/24", "10.0.1.0/24"}, []string{"10.0.0.0", "10.0.1.0", "]10.0.2.0"}},
		{"up to the last", []string{"0.0.0.0/8", "255.0.0.0/8"}, []string{"0.0.0.0", "]1.0.0.0", "255.0.0.0"}},
		{"IPv6", []string{"2001:db8::/33", "ffff::/16"}, []string{"2001:db8::", "]2001:db8:8000::", "ffff::"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, e := range intervals(prefixes(c.in...)) {
				address, _ := netip.AddrFromSlice(e.Key)
				got = append(got, map[bool]string{true: "]"}[e.IntervalEnd]+address.String())
			}
			assert.Equal(t, c.want, got)
		})
	}
}

// render prints the tables that Install would install, in the language of nft.
func render(config Config) (string, error) {
	if err := config.check(); err != nil {
		return "", err
	}
	var text string
	for _, r := range plan(&config) {
		text += r.String()
	}
	return text, nil
}

package bgp

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

var vip4, vip6 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")

// frontends returns tables with one frontend per VIP, with ready backends on the nodes named.
func frontends(kind services.Kind, local bool, nodes []string, vips ...netip.Addr) *services.Tables {
	t := &services.Tables{}
	for i, name := range nodes {
		t.Backends = append(t.Backends, services.Backend{Address: netip.AddrFrom4([4]byte{10, 244, 0, byte(i)}), Node: name})
	}
	for _, vip := range vips {
		f := services.Frontend{Address: vip, Port: 80, Kind: kind, LocalOnly: local}
		for i := range nodes {
			f.Backends = append(f.Backends, i)
		}
		t.Frontends = append(t.Frontends, f)
	}
	return t
}

func TestVIPs(t *testing.T) {
	dual := Node{Name: "a", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}}
	only4 := Node{Name: "a", Addresses: dual.Addresses[:1]}
	excluded := Node{Name: "a", Addresses: dual.Addresses, Excluded: true}
	any := func(netip.Addr) bool { return true }
	none := func(netip.Addr) bool { return false }
	mixed := frontends(services.KindLoadBalancer, true, []string{"c"}, vip4)
	mixed.Frontends = append(mixed.Frontends, services.Frontend{Address: vip4, Port: 81, Kind: services.KindLoadBalancer, Backends: []int{0}})
	leaving := frontends(services.KindLoadBalancer, false, []string{"c"}, vip4)
	leaving.Frontends[0].Terminating = leaving.Frontends[0].Backends
	leavingHere := frontends(services.KindLoadBalancer, true, []string{"a"}, vip4)
	leavingHere.Frontends[0].Terminating = leavingHere.Frontends[0].Backends
	half := frontends(services.KindLoadBalancer, false, nil, vip4)
	half.Frontends = append(half.Frontends, frontends(services.KindLoadBalancer, false, []string{"c"}, vip4).Frontends...)
	for _, test := range []struct {
		name    string
		node    Node
		tables  *services.Tables
		allowed func(netip.Addr) bool
		want    []netip.Addr
	}{
		{"policy Cluster", dual, frontends(services.KindLoadBalancer, false, []string{"c"}, vip4, vip6), any, []netip.Addr{vip4, vip6}},
		{"several ports of a VIP", dual, frontends(services.KindLoadBalancer, false, []string{"c"}, vip4, vip4), any, []netip.Addr{vip4}},
		{"policy Cluster without backends", dual, frontends(services.KindLoadBalancer, false, nil, vip4, vip6), any, nil},
		{"policy Cluster with backends at one of two ports", dual, half, any, []netip.Addr{vip4}},
		{"policy Cluster with the last resort only", dual, leaving, any, []netip.Addr{vip4}},
		{"policy Cluster with a backend outside", dual, frontends(services.KindLoadBalancer, false, []string{""}, vip4), any, []netip.Addr{vip4}},
		{"policy Local with a backend outside", dual, frontends(services.KindLoadBalancer, true, []string{""}, vip4), any, nil},
		{"policy Local with the last resort here", dual, leavingHere, any, nil},
		{"policy Local with a pod here", dual, frontends(services.KindLoadBalancer, true, []string{"c", "a"}, vip4), any, []netip.Addr{vip4}},
		{"policy Local with pods elsewhere", dual, frontends(services.KindLoadBalancer, true, []string{"c"}, vip4), any, nil},
		{"policy Local without pods", dual, frontends(services.KindLoadBalancer, true, nil, vip4), any, nil},
		{"a VIP shared by a Local and a Cluster service", dual, mixed, any, []netip.Addr{vip4}},
		{"node excluded from load balancers", excluded, frontends(services.KindLoadBalancer, false, []string{"c"}, vip4), any, nil},
		{"node without an address of the family", only4, frontends(services.KindLoadBalancer, false, []string{"c"}, vip4, vip6), any, []netip.Addr{vip4}},
		{"VIP not allowed", dual, frontends(services.KindLoadBalancer, false, []string{"c"}, vip4), none, nil},
		{"ClusterIP", dual, frontends(services.KindClusterIP, false, []string{"c"}, vip4), any, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, VIPs(test.node, test.tables, test.allowed))
		})
	}
}

package announce

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

var (
	four = netip.MustParseAddr("192.0.2.1")
	six  = netip.MustParseAddr("2001:db8::1")
)

func nodes(names ...string) []Node {
	var all []Node
	for i, name := range names {
		all = append(all, Node{Name: name, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), netip.MustParseAddr(fmt.Sprintf("fd00::%d", i+1))}})
	}
	return all
}

// tables have a frontend of each address, whose ready backends are on nodes.
func tables(local bool, on []string, vips ...netip.Addr) *services.Tables {
	t := &services.Tables{}
	for i, name := range on {
		t.Backends = append(t.Backends, services.Backend{Address: netip.AddrFrom4([4]byte{10, 244, 0, byte(i)}), Node: name})
	}
	for _, vip := range vips {
		f := services.Frontend{Address: vip, Port: 80, Kind: services.KindLoadBalancer, LocalOnly: local}
		for i := range on {
			f.Backends = append(f.Backends, i)
		}
		t.Frontends = append(t.Frontends, f)
	}
	return t
}

// parts are who does what for the one VIP there is.
func parts(mode Mode, v View) map[string]Role {
	all := map[string]Role{}
	for _, n := range v.Nodes {
		v.Node = n.Name
		for _, a := range Of(mode, v) {
			all[n.Name] = a.Role
		}
	}
	return all
}

func everything(netip.Addr) bool { return true }

// TestOf: one speaks and one stands in, of those that can serve the VIP; by BGP all speak.
func TestOf(t *testing.T) {
	three := nodes("a", "b", "c")
	with := func(change func([]Node)) []Node {
		n := nodes("a", "b", "c")
		change(n)
		return n
	}
	for _, test := range []struct {
		name    string
		view    View
		l2, bgp map[string]Role
	}{
		{"all can", View{Nodes: three, Tables: tables(false, nil, four), Within: everything},
			map[string]Role{"b": Speaks, "c": StandsIn}, map[string]Role{"a": Speaks, "b": Speaks, "c": Speaks}},
		{"of IPv6", View{Nodes: three, Tables: tables(false, nil, six), Within: everything},
			map[string]Role{"c": Speaks, "a": StandsIn}, map[string]Role{"a": Speaks, "b": Speaks, "c": Speaks}},
		{"local pods", View{Nodes: three, Tables: tables(true, []string{"c"}, four), Within: everything},
			map[string]Role{"c": Speaks}, map[string]Role{"c": Speaks}},
		{"local, no pods", View{Nodes: three, Tables: tables(true, nil, four), Within: everything}, map[string]Role{}, map[string]Role{}},
		{"one is not ready", View{Nodes: with(func(n []Node) { n[1].NotReady = true }), Tables: tables(false, nil, four), Within: everything},
			map[string]Role{"c": Speaks, "a": StandsIn}, map[string]Role{"a": Speaks, "b": Speaks, "c": Speaks}},
		{"none is ready", View{Nodes: with(func(n []Node) { n[0].NotReady, n[1].NotReady, n[2].NotReady = true, true, true }),
			Tables: tables(false, nil, four), Within: everything},
			map[string]Role{"b": Speaks, "c": StandsIn}, map[string]Role{"a": Speaks, "b": Speaks, "c": Speaks}},
		{"one is excluded", View{Nodes: with(func(n []Node) { n[0].Excluded = true }), Tables: tables(false, nil, four), Within: everything},
			map[string]Role{"b": Speaks, "c": StandsIn}, map[string]Role{"b": Speaks, "c": Speaks}},
		{"one has no address of the family", View{Nodes: with(func(n []Node) { n[0].Addresses = n[0].Addresses[:1] }), Tables: tables(false, nil, six), Within: everything},
			map[string]Role{"c": Speaks, "b": StandsIn}, map[string]Role{"b": Speaks, "c": Speaks}},
		{"not to be announced", View{Nodes: three, Tables: tables(false, nil, four), Within: func(netip.Addr) bool { return false }},
			map[string]Role{}, map[string]Role{}},
		{"a ClusterIP", View{Nodes: three, Tables: &services.Tables{Frontends: []services.Frontend{{Address: four, Kind: services.KindClusterIP}}}, Within: everything},
			map[string]Role{}, map[string]Role{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.l2, parts(ModeL2, test.view))
			assert.Equal(t, test.bgp, parts(ModeBGP, test.view))
			assert.Empty(t, parts(ModeNone, test.view))
		})
	}
}

// TestSpread: VIPs are spread over nodes, and when one goes those of others stay.
func TestSpread(t *testing.T) {
	var vips []netip.Addr
	for i := range 240 {
		vips = append(vips, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	speaker := func(names ...string) map[netip.Addr]string {
		v := View{Nodes: nodes(names...), Tables: tables(false, nil, vips...), Within: everything}
		all := map[netip.Addr]string{}
		for _, n := range names {
			v.Node = n
			for _, a := range Of(ModeL2, v) {
				if a.Role == Speaks {
					assert.Empty(t, all[a.VIP])
					all[a.VIP] = n
				}
			}
		}
		return all
	}
	before, after := speaker("a", "b", "c", "d"), speaker("a", "b", "d")
	assert.Len(t, before, len(vips))
	assert.Len(t, after, len(vips))
	share := map[string]int{}
	for vip, n := range before {
		share[n]++
		if n != "c" {
			assert.Equal(t, n, after[vip])
		}
	}
	for _, n := range []string{"a", "b", "c", "d"} {
		assert.InDelta(t, 60, share[n], 25, n)
	}
	assert.True(t, slices.IsSortedFunc(vips, netip.Addr.Compare))
}

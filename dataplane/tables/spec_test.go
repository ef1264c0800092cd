package tables

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/dataplane/services/servicestest"
)

// compiled is the spec of one service, seen from node0.
func compiled(t *testing.T, tables *services.Tables) *serviceSpec {
	t.Helper()
	v, problems := newNodeView(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2)})
	require.Empty(t, problems)
	specs, invalid := compileAll(v, tables)
	require.Empty(t, invalid)
	require.Len(t, specs, 1)
	for _, spec := range specs {
		return spec
	}
	return nil
}

func TestCompileFrontends(t *testing.T) {
	tables := servicestest.One(0, 3)
	tables.Backends[2].Node, tables.Backends[2].NodeAddress = servicestest.NodeName(0), servicestest.NodeAddr(0)
	lb, clusterIP := &tables.Frontends[0], &tables.Frontends[1]
	lb.LocalOnly = true
	lb.Affinity = 1500 * time.Millisecond
	lb.SourceRanges = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	nodePort := *lb
	nodePort.Address, nodePort.Port, nodePort.Kind, nodePort.SourceRanges = servicestest.NodeAddr(0), 31000, services.KindNodePort, nil
	nodePort.Node = servicestest.NodeName(0)
	tables.Frontends = append(tables.Frontends, nodePort)
	spec := compiled(t, tables)

	require.Len(t, spec.frontends, 3)
	shares := func(set int) (shares []share) { return spec.sets[set].shares }
	assert.Equal(t, []string{"default/s00000:http/TCP"}, spec.ports)
	assert.Equal(t, []bpf.DatapathAddress{bpf.WireAddress(lb.Address), bpf.WireAddress(clusterIP.Address)}, spec.guards, "a node's address has none")
	first := spec.frontends[0]
	assert.Equal(t, bpf.DatapathServiceKey{Address: bpf.WireAddress(lb.Address), Port: bpf.Port16(80), Protocol: 6}, first.key)
	assert.EqualValues(t, 2, first.value.Affinity, "seconds, rounded up")
	assert.EqualValues(t, bpf.DatapathModeMODE_DSR, first.value.Mode)
	assert.EqualValues(t, bpf.DatapathFrontendFlagsFRONTEND_LOCAL_ONLY|bpf.DatapathFrontendFlagsFRONTEND_RANGES, first.value.Flags)
	assert.Len(t, shares(first.outside), 1, "only the pod of this node")
	assert.Len(t, shares(first.inside), 3, "the policy is for traffic from outside")
	second := spec.frontends[1]
	assert.EqualValues(t, bpf.DatapathFrontendKindFRONTEND_CLUSTER_IP, second.value.Kind)
	assert.Equal(t, first.inside, second.outside, "equal sets are one")
	assert.Equal(t, second.outside, second.inside)
	assert.EqualValues(t, bpf.DatapathFrontendFlagsFRONTEND_LOCAL_ONLY, spec.frontends[2].value.Flags)
	assert.Len(t, spec.sets, 2)

	tables.Frontends[1].LocalOnly = true
	spec = compiled(t, tables)
	assert.Len(t, spec.sets[spec.frontends[1].inside].shares, 1, "internalTrafficPolicy: Local")
	for i := range tables.Frontends {
		tables.Frontends[i].Backends = nil
	}
	spec = compiled(t, &services.Tables{Frontends: tables.Frontends})
	assert.Equal(t, noSet, spec.frontends[0].outside)
	assert.Equal(t, noSet, spec.frontends[0].inside)
}

// TestCompileGuards: all ports of an address are taken from the kernel only where no host can have the address.
func TestCompileGuards(t *testing.T) {
	node, free := servicestest.NodeAddr(1), netip.MustParseAddr("198.51.100.7")
	for _, test := range []struct {
		name    string
		kind    services.Kind
		address netip.Addr
		guarded bool
	}{
		{"VIP", services.KindLoadBalancer, free, true},
		{"ClusterIP", services.KindClusterIP, free, true},
		{"externalIP, which may be a host's", services.KindExternalIP, free, false},
		{"externalIP that is a node's", services.KindExternalIP, node, false},
		{"VIP that has become a node's address", services.KindLoadBalancer, node, false},
		{"NodePort", services.KindNodePort, node, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			tables := servicestest.One(0, 1)
			tables.Frontends = tables.Frontends[:1]
			f := &tables.Frontends[0]
			f.Kind, f.Address = test.kind, test.address
			spec := compiled(t, tables)
			require.Len(t, spec.frontends, 1)
			if test.guarded {
				assert.Equal(t, []bpf.DatapathAddress{bpf.WireAddress(test.address)}, spec.guards)
			} else {
				assert.Empty(t, spec.guards)
			}
		})
	}
}

// TestCompileNodePortElsewhere: another node's NodePort with policy Local is not served here; its backends are known all the same.
func TestCompileNodePortElsewhere(t *testing.T) {
	for _, test := range []struct {
		name   string
		node   int
		local  bool
		served bool
	}{
		{"own, Local", 0, true, true},
		{"own, Cluster", 0, false, true},
		{"another's, Cluster", 1, false, true},
		{"another's, Local", 1, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			tables := servicestest.One(0, 3)
			tables.Frontends = tables.Frontends[:1]
			f := &tables.Frontends[0]
			f.Kind, f.Address, f.Node, f.LocalOnly = services.KindNodePort, servicestest.NodeAddr(test.node), servicestest.NodeName(test.node), test.local
			spec := compiled(t, tables)
			assert.Equal(t, test.served, len(spec.frontends) == 1)
			assert.Len(t, spec.backends, 3)
		})
	}
}

// TestCompileSetSizes: few backends of equal weight are a list, others have a table.
func TestCompileSetSizes(t *testing.T) {
	for _, test := range []struct {
		backends   int
		weights    []uint32 // of the first; 1 for the others
		size, rows uint32
	}{
		{1, nil, 1, 1}, {8, nil, 8, 1}, {9, nil, 9, 2}, {16, nil, 16, 2}, {17, nil, 32768, 2048}, {500, nil, 32768, 2048},
		{2, []uint32{3, 3}, 2, 1}, {2, []uint32{1, 3}, 32768, 2048}, {3, []uint32{0, 3, 3}, 2, 1}, {17, []uint32{0}, 16, 2},
	} {
		tables := servicestest.One(0, test.backends)
		for i, weight := range test.weights {
			tables.Backends[i].Weight = weight
		}
		size := compiled(t, tables).sets[0].size()
		assert.Equal(t, test.size, size, "%d backends of weights %d", test.backends, test.weights)
		assert.Equal(t, test.rows, bpf.RowsOf(size))
	}
}

func TestCompileWeights(t *testing.T) {
	tables := servicestest.One(0, 3)
	for i, weight := range []uint32{4, 0, 6} {
		tables.Backends[i].Weight = weight
	}
	spec := compiled(t, tables)
	assert.Equal(t, []share{{0, 2}, {2, 3}}, spec.sets[0].shares, "none for weight 0; 2 to 3 as 4 to 6")
}

// TestCompileRanges: a short IPv6 prefix lets no IPv4 client in, though their addresses are mapped into IPv6.
func TestCompileRanges(t *testing.T) {
	in := func(spec *serviceSpec, client string) bool {
		a := netip.MustParseAddr(client)
		for _, r := range spec.ranges {
			if bpf.Prefix(r.Prefix-32, r.Address).Contains(a) {
				return true
			}
		}
		return false
	}
	tables := servicestest.One(0, 1)
	tables.Frontends[0].SourceRanges = []netip.Prefix{netip.MustParsePrefix("::/0")}
	spec := compiled(t, tables)
	assert.Len(t, spec.ranges, 96)
	for _, client := range []string{"::1", "2001:db8::1", "ffff::1", "::fffe:192.0.2.1", "0:0:0:0:0:fffe::"} {
		assert.True(t, in(spec, client), client)
	}
	assert.False(t, in(spec, "192.0.2.1"))
	tables.Frontends[0].SourceRanges = append(tables.Frontends[0].SourceRanges, netip.MustParsePrefix("192.0.2.0/31"))
	spec = compiled(t, tables)
	assert.True(t, in(spec, "192.0.2.1"))
	assert.False(t, in(spec, "192.0.2.2"))
}

// What is wrong with one service is said of it alone; the other one is compiled.
func TestCompileErrors(t *testing.T) {
	v, problems := newNodeView(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2)})
	require.Empty(t, problems)
	for _, test := range []struct {
		name   string
		change func(*services.Tables)
		of     string
		want   string
	}{
		{"backend", func(s *services.Tables) { s.Frontends[1].Backends = []int{-1} }, "default/s00000",
			"frontend 172.16.0.0:80/TCP: found backend -1; there are 2"},
		{"twice", func(s *services.Tables) {
			other := s.Frontends[1]
			other.Service = "default/t"
			s.Frontends = append(s.Frontends, other)
		}, "default/t", "frontend 172.16.0.0:80/TCP: it is that of service default/s00000; one service at a time can have it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tables := servicestest.Many(2, 1)
			test.change(tables)
			specs, invalid := compileAll(v, tables)
			require.Contains(t, invalid, test.of)
			require.EqualError(t, invalid[test.of], test.want)
			assert.Len(t, invalid, 1)
			assert.Contains(t, specs, "default/s00001")
			assert.NotContains(t, specs, test.of)
		})
	}
}

// Names of any length have a text of their own: three of 63 bytes as they are, longer ones with a hash.
func TestLongNames(t *testing.T) {
	tables := servicestest.One(0, 1)
	label := func(c string) string { return strings.Repeat(c, 63) }
	for i := range tables.Frontends {
		tables.Frontends[i].Service, tables.Frontends[i].PortName = label("n")+"/"+label("s"), label("p")
	}
	assert.Equal(t, []string{label("n") + "/" + label("s") + ":" + label("p") + "/TCP"}, compiled(t, tables).ports)
	for i := range tables.Frontends {
		tables.Frontends[i].PortName = strings.Repeat("p", 200+i)
	}
	spec := compiled(t, tables)
	require.Len(t, spec.ports, 2, "names that differ only behind what fits stay two")
	for _, name := range spec.ports {
		assert.Len(t, name, 207)
		assert.Equal(t, name, bpf.WireText(name).String())
	}
}

// What can't be used of a node or pod is left out, and the rest of it is used.
func TestViewErrors(t *testing.T) {
	v, problems := newNodeView(State{
		Nodes: []Node{{Name: "n", Addresses: []NodeAddress{{}, {Address: servicestest.NodeAddr(3)}}, PodCIDRs: []netip.Prefix{{}}}},
		Pods: []Pod{
			{Addresses: []netip.Addr{servicestest.NodeAddr(0)}}, {Addresses: []netip.Addr{{}, servicestest.NodeAddr(1)}, MAC: macOf(1), NodeMAC: macOf(2)},
		},
	})
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.Error())
	}
	assert.Equal(t, []string{
		"node n: addresses: found invalid IP; must be an IPv4 or IPv6 address",
		"node n: podCIDRs: found invalid Prefix; must be a prefix like 10.0.1.0/24",
		`pod [192.0.2.1]: veth: found MAC addresses "" and ""; must have one at both ends`,
		"pod [invalid IP 192.0.2.2]: addresses: found invalid IP; must be an IPv4 or IPv6 address",
	}, texts)
	assert.Len(t, v.nodes, 1)
	assert.Len(t, v.pods, 1)
}

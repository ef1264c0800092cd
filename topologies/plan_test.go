package topologies

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// planOf plans a topology that is written down.
func planOf(t testing.TB, name string, data []byte) *Plan {
	t.Helper()
	topology, err := Parse(name+".yaml", data)
	require.NoError(t, err)
	plan, err := PlanOf(topology)
	require.NoError(t, err)
	return plan
}

// plans are those of the catalogue and of the valid files.
func plans(t *testing.T) map[string]*Plan {
	t.Helper()
	all := map[string]*Plan{}
	for name, data := range testdata(t, "valid-*.yaml") {
		all[name] = planOf(t, name, data)
	}
	for _, name := range Catalogue() {
		data, err := Source(name)
		require.NoError(t, err)
		all[name] = planOf(t, name, data)
	}
	return all
}

func TestPlans(t *testing.T) {
	for name, plan := range plans(t) {
		t.Run(name, func(t *testing.T) {
			got, err := json.MarshalIndent(plan, "", "  ")
			require.NoError(t, err)
			golden(t, "plan-"+name+".json", string(got)+"\n")

			var read Plan
			require.NoError(t, json.Unmarshal(got, &read))
			assert.Empty(t, plan.Diff(&read), "a plan that is stored and read again is the same")
		})
	}
}

// TestPlanHolds checks what every plan must keep, whatever the golden files say.
func TestPlanHolds(t *testing.T) {
	all := plans(t)
	all["thousand"] = planOf(t, "thousand", manyNodes(1000))
	for name, plan := range all {
		t.Run(name, func(t *testing.T) {
			macs, addresses, ports := map[string]bool{}, map[netip.Addr]bool{}, map[string]bool{}
			once := func(mac HardwareAddr, all ...netip.Addr) {
				assert.False(t, macs[mac.String()], "MAC %s is there twice", mac)
				macs[mac.String()] = true
				for _, a := range all {
					assert.False(t, addresses[a], "address %s is there twice", a)
					addresses[a] = true
				}
				assert.Equal(t, byte(2), mac[0]&3, "%s is unicast and locally administered", mac)
			}
			for _, n := range plan.Networks {
				once(n.MAC, n.Gateways...)
			}
			for _, n := range plan.Nodes {
				once(n.MAC, addrsOf(n.Addresses)...)
				assert.False(t, ports[n.Port])
				ports[n.Port] = true
				assert.LessOrEqual(t, len(n.Port), 13)
				assert.Equal(t, n.Role.OutsideCluster(), len(n.PodCIDRs) == 0)
			}
			devices := map[string]bool{}
			for _, p := range plan.Pods {
				once(p.MAC, p.Addresses...)
				assert.NotEqual(t, p.MAC, p.HostMAC)
				assert.False(t, devices[p.HostDevice])
				devices[p.HostDevice] = true
				assert.LessOrEqual(t, len(p.HostDevice), 15)
			}
			for _, slice := range plan.EndpointSlices {
				assert.NotEmpty(t, slice.Endpoints)
				for _, port := range slice.Ports {
					assert.NotZero(t, *port.Port)
				}
			}
		})
	}
}

func TestPlanLeavesTopology(t *testing.T) {
	var topology Topology
	source, err := Source("talk")
	require.NoError(t, err)
	parsed, err := Parse("talk.yaml", source)
	require.NoError(t, err)
	before, err := json.Marshal(parsed)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(before, &topology))
	topology.Spec.Nodes[0].Link = LinkSpec{Shape: Shape{Rate: 1e9}, ToNode: &Shape{Rate: 1e8}}
	topology.Spec.Networks[0].Gateways = nil
	topology.Spec.Services[0].Spec.ClusterIP = ""
	topology.Spec.Services[0].Spec.ClusterIPs = nil
	raw, err := json.Marshal(topology)
	require.NoError(t, err)
	first, err := PlanOf(&topology)
	require.NoError(t, err)
	after, err := json.Marshal(topology)
	require.NoError(t, err)
	assert.JSONEq(t, string(raw), string(after))

	first.Services[0].Spec.Ports[0].Port = 1
	first.Pods[0].Labels["app"] = "changed"
	*first.Nodes[0].ToNode.Overhead = 99
	second, err := PlanOf(&topology)
	require.NoError(t, err)
	assert.EqualValues(t, 8080, second.Services[0].Spec.Ports[0].Port)
	assert.Equal(t, "tcp-echo", second.Pods[0].Labels["app"])
	assert.Equal(t, 24, *second.Nodes[0].ToNode.Overhead)
}

func TestHash(t *testing.T) {
	source, err := Source("talk")
	require.NoError(t, err)
	hash := planOf(t, "talk", source).Hash
	assert.Len(t, hash, 64)
	change := func(old, replacement string) string {
		changed := strings.Replace(string(source), old, replacement, 1)
		require.NotEqual(t, string(source), changed)
		return planOf(t, "changed", []byte(changed)).Hash
	}
	assert.Equal(t, hash, change("description: ", "description:   "), "blanks don't matter")
	assert.Equal(t, hash, change("# The demo of", "# A demo of"), "comments don't matter")
	assert.Equal(t, hash, change("Slides 23 and 24:", "Two slides:"), "the description builds nothing")
	assert.Equal(t, hash, change("kind: Topology", "kind: 'Topology'"), "quotes don't matter")
	assert.Equal(t, hash, change("link: {rate: 100mbit}", "link: {rate: 100000kbit, limit: shape, overhead: 24}"), "what is the default anyway doesn't matter")
	assert.Equal(t, hash, change("subnets: [192.168.1.0/24]", "subnets: [192.168.1.0/24]\n    mtu: 1500"), "nor does that")
	assert.NotEqual(t, hash, change("subnets: [192.168.1.0/24]", "subnets: [192.168.1.0/24]\n    mtu: 1400"))
	assert.NotEqual(t, hash, change("rate: 100mbit", "rate: 101mbit"))
	assert.NotEqual(t, hash, change("rate: 100mbit", "rate: 100mbit, limit: police"))
	assert.NotEqual(t, hash, change("nodePort: 31001", "nodePort: 31002"))
	assert.NotEqual(t, hash, change("podCIDRs: [10.0.0.0/24]", "podCIDRs: [10.9.0.0/24]"))
}

// What a link holds of a full frame follows from the MTU of its network.
func TestNetworkMTU(t *testing.T) {
	plan := planOf(t, "mtu", testdata(t, "valid-mtu.yaml")["valid-mtu"])
	client, worker := &plan.Nodes[0], &plan.Nodes[1]
	assert.Equal(t, 1280, plan.MTUOf(client))
	assert.Equal(t, 9000, plan.MTUOf(worker))
	assert.Equal(t, Size(2*(1280+14+24)), client.ToNode.Burst)
	assert.Equal(t, Size(2*(9000+14+24)), worker.ToNode.Burst)
	assert.Equal(t, "wan", plan.NetworkOf(client).Name)

	other := *plan
	other.Networks = append([]Network{}, plan.Networks...)
	other.Networks[0].MTU = 1400
	assert.Equal(t, []string{"network wan: MTU was 1280, is 1400"}, plan.Diff(&other))
	assert.Nil(t, plan.NetworkOf(&Node{Network: "none"}))
	assert.Equal(t, 9000, plan.MTUOf(&Node{Network: "none"}), "that of the plan")

	// Replicas in several networks have room for the frames of all.
	spec := &Spec{MTU: 1500, Networks: []NetworkSpec{
		{Subnets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, MTU: 1280}, {Subnets: []netip.Prefix{netip.MustParsePrefix("192.0.3.0/24")}, MTU: 2000},
		{Subnets: []netip.Prefix{netip.MustParsePrefix("192.0.4.0/24")}, MTU: 1400}, {Subnets: []netip.Prefix{netip.MustParsePrefix("192.0.9.0/24")}, MTU: 9000},
	}}
	node := &NodeSpec{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.9")}, Replicas: 600}
	assert.Equal(t, 2000, linkMTU(spec, node))
	node.Replicas = 1
	assert.Equal(t, 1280, linkMTU(spec, node))
	node.Addresses[0] = netip.MustParseAddr("192.0.8.1")
	assert.Equal(t, 1500, linkMTU(spec, node))
}

func TestDefaultTwice(t *testing.T) {
	for name, data := range testdata(t, "valid-*.yaml") {
		topology, err := Parse(name+".yaml", data)
		require.NoError(t, err)
		Default(topology)
		once, err := json.Marshal(topology)
		require.NoError(t, err)
		Default(topology)
		twice, err := json.Marshal(topology)
		require.NoError(t, err)
		assert.JSONEq(t, string(once), string(twice), name)
	}
}

func TestPlanInvalid(t *testing.T) {
	_, err := PlanOf(&Topology{})
	require.EqualError(t, err, `apiVersion: is missing, want dsrlab.dev/v1alpha1
kind: is missing, want Topology
metadata.name: is missing
spec.networks: is missing, want at least one network
spec.nodes: is missing, want at least one node`)
}

// manyNodes is a topology of n nodes, all but two of them workers with a pod each.
func manyNodes(n int) []byte {
	return fmt.Appendf(nil, `apiVersion: dsrlab.dev/v1alpha1
kind: Topology
metadata: {name: many}
spec:
  networks:
  - {name: lan, subnets: [172.16.0.0/16]}
  nodes:
  - {name: client, role: client, addresses: [172.16.0.1]}
  - {name: lb, role: lb, addresses: [172.16.0.2], link: {rate: 1gbit}}
  - {name: worker, role: worker, replicas: %d, addresses: [172.16.1.1], link: {rate: 1gbit}}
  pods:
  - {name: echo, node: worker, labels: {app: echo}, workload: [{kind: echo, port: 8080, name: http}]}
  services:
  - metadata: {name: echo}
    spec: {type: LoadBalancer, loadBalancerIP: 185.150.8.128, selector: {app: echo}, ports: [{port: 80, targetPort: http}]}
`, n-2)
}

func TestManyNodes(t *testing.T) {
	plan := planOf(t, "many", manyNodes(1000)) // how long it takes is for BenchmarkPlanOf1000
	require.Len(t, plan.Nodes, 1000)
	require.Len(t, plan.Pods, 998)
	last := plan.Nodes[999]
	assert.Equal(t, "worker-998", last.Name)
	assert.Equal(t, "p-worker-998", last.Port)
	assert.Equal(t, "172.16.4.230/16", last.Addresses[0].String())
	assert.Equal(t, "10.3.230.0/24", last.PodCIDRs[0].String(), "the 998th after the LB node's 10.0.0.0/24")
	assert.Equal(t, []Neighbour{
		{netip.MustParseAddr("172.16.0.2"), macOf(macOwn, netip.MustParseAddr("172.16.0.2"))},
		{netip.MustParseAddr("172.16.255.254"), macOf(macOwn, netip.MustParseAddr("172.16.255.254"))},
	}, last.Neighbours, "the LB node and the gateway")
	assert.Len(t, last.Routes, 1, "the fabric routes the rest")
	require.Len(t, plan.EndpointSlices, 1)
	assert.Len(t, plan.EndpointSlices[0].Endpoints, 998)

	more := planOf(t, "many", manyNodes(1100))
	require.Len(t, more.EndpointSlices, 2)
	assert.Equal(t, "echo-ipv4-2", more.EndpointSlices[1].Name)
	assert.Len(t, more.EndpointSlices[1].Endpoints, 98)
}

func BenchmarkParse1000(b *testing.B) {
	data := manyNodes(1000)
	for b.Loop() {
		if _, err := Parse("many.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlanOf1000(b *testing.B) {
	topology, err := Parse("many.yaml", manyNodes(1000))
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := PlanOf(topology); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range Catalogue() {
		source, err := Source(name)
		require.NoError(f, err)
		f.Add(source)
	}
	for _, pattern := range []string{"valid-*.yaml", "invalid-*.yaml"} {
		for _, data := range testdata(f, pattern) {
			f.Add(data)
		}
	}
	f.Add(manyNodes(40))
	f.Add([]byte("spec: {nodes: [{replicas: 99999999999, addresses: [::1], podCIDRs: [::/0]}], networks: [{subnets: [0.0.0.0/0]}]}"))
	f.Add([]byte("a: &a [*a, *a]\nspec: *a\n<<: *a\n? [x]\n: y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		topology, err := Parse("fuzz.yaml", data)
		if err != nil {
			require.Nil(t, topology)
			return
		}
		plan, err := PlanOf(topology)
		if err != nil {
			require.Nil(t, plan)
			return
		}
		again, err := PlanOf(topology)
		require.NoError(t, err)
		require.Empty(t, plan.Diff(again))
		_, err = SVG(plan)
		require.NoError(t, err)
		require.NotEmpty(t, Mermaid(plan))
	})
}

// Files that hold more than anybody builds are refused for that, once and quickly.
func TestParseBounds(t *testing.T) {
	const head = "apiVersion: dsrlab.dev/v1alpha1\nkind: Topology\nmetadata: {name: x}\nspec:\n  networks:\n  - {name: n, subnets: [10.0.0.0/8]}\n  nodes:"
	for _, test := range []struct{ name, document, want string }{
		{"nodes", head + strings.Repeat("\n  - {name: n, role: lb}", 5000), "x.yaml:8:3: spec.nodes: has 5000 items, want at most 4096"},
		{"replicas", head + strings.Repeat("\n  - {name: n, role: lb, addresses: [10.0.0.1], replicas: 4096}", 17), "x.yaml:8:3: spec.nodes: are more than 4096 with all replicas"},
		{"a million nodes", head + strings.Repeat("\n  - {}", 1_000_000), "read topology: x.yaml: too large: found more (want at most 1 MiB)"},
		{"values", "spec: [" + strings.Repeat("a,", 500_000) + "]", "x.yaml: too large: found about 500003 values (want at most 100000)"},
		{"depth", strings.Repeat("[", 50_000), "x.yaml: is no YAML: exceeded max depth of 10000"},
		{"errors", head + " [" + strings.Repeat("a,", 20_000) + "]", "x.yaml:7:211: these are the first 100 errors"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := parsed(test.document)
			runtime.ReadMemStats(&after)
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")
			assert.Equal(t, test.want, lines[len(lines)-1])
			assert.LessOrEqual(t, len(lines), 101)
			assert.Less(t, (after.TotalAlloc-before.TotalAlloc)>>20, uint64(100), "MiB allocated")
		})
	}
}

// parsed reads a document as ParseFile does, and plans it.
func parsed(document string) (*Plan, error) {
	data, err := manifest.Read("x.yaml", strings.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("read topology: %w", err)
	}
	topology, err := Parse("x.yaml", data)
	if err != nil {
		return nil, err
	}
	return PlanOf(topology)
}

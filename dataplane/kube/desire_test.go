package kube

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

var update = flag.Bool("update", false, "write golden files anew")

func testConfig() Config {
	c := DefaultConfig()
	c.PodNetwork.Enabled = true
	c.PodNetwork.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:244::/56")}
	c.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
	c.Announce = Announce{Mode: AnnounceBGP, CIDRs: []netip.Prefix{netip.MustParsePrefix("185.150.8.0/24")}}
	return c
}

// desired is all that follows from objects, for the golden files.
type desired struct {
	Peers    []Peer             `json:"peers"`
	Network  Network            `json:"network"`
	Tables   *services.Tables   `json:"tables"`
	Problems []services.Problem `json:"problems"`

	Announced []netip.Addr `json:"announced"`
}

// clusterOf takes the objects of a file, ordered by kind and name.
func clusterOf(objects Objects) *Cluster {
	c := NewCluster(testConfig())
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		c.Take(eventOf(objects[key], false))
	}
	return c
}

// TestGolden: what objects come to on one node, the one whose name ends in worker. kind-local-policy.yaml was asked of a cluster; kind.yaml
// has what it lacks, in the same form.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			objects, err := ParseObjects(file, data)
			require.NoError(t, err)
			c := clusterOf(objects)
			i := slices.IndexFunc(c.Peers(), func(p Peer) bool { return strings.HasSuffix(p.Name, "worker") })
			require.GreaterOrEqual(t, i, 0)
			node := c.Peers()[i].Name
			got, err := json.MarshalIndent(desired{
				c.Peers(), NetworkOf(node, c.Peers(), testConfig()), c.Tables(), c.Problems(),
				VIPsOf(node, c.Peers(), c.Tables(), testConfig()),
			}, "", "  ")
			require.NoError(t, err)
			golden := strings.TrimSuffix(file, ".yaml") + ".golden.json"
			if *update {
				require.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), string(got)+"\n")
		})
	}
}

// TestNodeThatOnlyReports: what kubelet writes every few seconds costs nothing.
func TestNodeThatOnlyReports(t *testing.T) {
	objects, err := ParseObjects("kind.yaml", must(os.ReadFile("testdata/kind.yaml")))
	require.NoError(t, err)
	c := clusterOf(objects)
	changes, nodes := c.Take(eventOf(objects["node /worker"], false))
	assert.Empty(t, changes)
	assert.False(t, nodes)
	_, nodes = c.Take(eventOf(objects["node /worker"], true))
	assert.True(t, nodes)
}

// TestNodeExcluded: a node that is labelled so announces no VIPs; its conditions are not looked at.
func TestNodeExcluded(t *testing.T) {
	node := func(change func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{}
		n.Name = "n"
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}}
		change(n)
		return n
	}
	c := NewCluster(testConfig())
	for _, test := range []struct {
		name     string
		change   func(*corev1.Node)
		excluded bool
		changes  bool
	}{
		{"new", func(*corev1.Node) {}, false, true},
		{"not ready", func(n *corev1.Node) {
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse}}
		}, false, false},
		{"excluded", func(n *corev1.Node) { n.Labels = map[string]string{corev1.LabelNodeExcludeBalancers: ""} }, true, true},
	} {
		slimmed, err := stripUnused(node(test.change))
		require.NoError(t, err)
		_, changed := c.Take(eventOf(slimmed, false))
		assert.Equal(t, test.changes, changed, test.name)
		assert.Equal(t, []Peer{{Name: "n", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Excluded: test.excluded}}, c.Peers(), test.name)
	}
}

// TestNodeAddresses: the first InternalIP of a family is the node's. What can't be used of the others is said, and no VIP may be there.
func TestNodeAddresses(t *testing.T) {
	n := &corev1.Node{}
	n.Name, n.Labels = "n", map[string]string{corev1.LabelTopologyZone: "east"}
	for _, a := range []struct {
		kind    corev1.NodeAddressType
		address string
	}{
		{corev1.NodeHostName, "n"}, {corev1.NodeInternalIP, "192.0.2.1"}, {corev1.NodeExternalIP, "203.0.113.1"}, {corev1.NodeInternalIP, "2001:db8::1"},
		{corev1.NodeInternalIP, "192.0.2.1"}, {corev1.NodeInternalIP, "10.1.0.1"}, {corev1.NodeExternalIP, "192.0.2.1"}, {corev1.NodeInternalIP, "fe80::1"},
	} {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: a.kind, Address: a.address})
	}
	peers, problems := PeersOf([]*corev1.Node{n})
	assert.Equal(t, []Peer{{
		Name: "n", Zone: "east", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		Others: []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("10.1.0.1")},
	}}, peers)
	var all []string
	for _, p := range problems {
		all = append(all, p.Error())
	}
	assert.Equal(t, []string{
		"node n: status.addresses[5]: 10.1.0.1 is a further InternalIP beside 192.0.2.1: it has no NodePorts, and its processes can't be backends there; " +
			"use the first InternalIP of a family",
		`node n: status.addresses[7]: "fe80::1" is not the address of a node; use a unicast address`,
	}, all)
}

// TestSharedNodeAddress: an address is that of the newest node that has it, and the others' problem.
func TestSharedNodeAddress(t *testing.T) {
	node := func(name string, created int64, addresses ...string) *corev1.Node {
		n := &corev1.Node{}
		n.Name, n.CreationTimestamp = name, metav1.Unix(created, 0)
		for _, a := range addresses {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
		}
		return n
	}
	peers, problems := PeersOf([]*corev1.Node{node("old", 1, "192.0.2.1", "2001:db8::1"), node("new", 2, "192.0.2.1"), node("gone", 1, "192.0.2.1")})
	assert.Equal(t, []Peer{
		{Name: "new", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}, {Name: "old", Addresses: []netip.Addr{netip.MustParseAddr("2001:db8::1")}},
	}, peers)
	var all []string
	for _, p := range problems {
		all = append(all, p.Error())
	}
	assert.Equal(t, []string{
		"node gone: status.addresses[0]: 192.0.2.1 is an address of node new, too; give each node addresses of its own",
		"node gone: status.addresses: there is no usable InternalIP; let kubelet or the cloud's controller set one",
		"node old: status.addresses[0]: 192.0.2.1 is an address of node new, too; give each node addresses of its own",
	}, all)
}

// TestLeaving: a node that is being deleted is not eligible for new connections.
func TestLeaving(t *testing.T) {
	node := func(change func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{}
		n.Name = "n"
		change(n)
		slimmed, err := stripUnused(n)
		require.NoError(t, err)
		return slimmed.(*corev1.Node)
	}
	c := NewCluster(testConfig())
	assert.False(t, c.Leaving("n"), "unknown yet")
	for _, test := range []struct {
		name   string
		change func(*corev1.Node)
		gone   bool
		want   bool
	}{
		{"new", func(*corev1.Node) {}, false, false},
		{"cordoned", func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeUnschedulable}} }, false, false},
		{"tainted", func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "ToBeDeletedByClusterAutoscaler"}} }, false, true},
		{"stays", func(*corev1.Node) {}, false, false},
		{"deleted", func(n *corev1.Node) { now := metav1.Now(); n.DeletionTimestamp = &now }, false, true},
		{"gone", func(*corev1.Node) {}, true, true},
		{"joins again", func(*corev1.Node) {}, false, false},
	} {
		c.Take(eventOf(node(test.change), test.gone))
		assert.Equal(t, test.want, c.Leaving("n"), test.name)
		assert.False(t, c.Leaving("other"))
	}
}

// TestObjectsRefused: all that is wrong with a file is said at once.
func TestObjectsRefused(t *testing.T) {
	_, err := ParseObjects("o.yaml", []byte(`kind: Pod
apiVersion: v1
metadata: {name: p}
---
kind: Service
apiVersion: v1
metadata: {name: s, namespace: d}
spec: {port: 1}
---
kind: List
apiVersion: v1
items:
- {kind: Node, apiVersion: v1, metadata: {name: n1}}
- {kind: Node, apiVersion: v1, metadata: {name: n1}}
- {kind: Node, apiVersion: v1}
`))
	require.EqualError(t, err, `o.yaml:1: document 1: kind Pod: must be Service, EndpointSlice, Node or List
o.yaml:5: document 2: strict decoding error: unknown field "spec.port"
o.yaml:10: document 3: items[1]: node /n1: there are two of this name; items[2]: node: metadata.name: must be set`)
}

// FuzzObjects feeds hostile objects: what follows must be consistent, whatever they say.
func FuzzObjects(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		f.Add(must(os.ReadFile(file)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, _ := ParseObjects("fuzz", data)
		c := clusterOf(objects)
		tables, peers := c.Tables(), c.Peers()
		for _, frontend := range tables.Frontends {
			for _, b := range frontend.Backends {
				require.Less(t, b, len(tables.Backends))
			}
		}
		for _, p := range peers {
			require.NotEmpty(t, p.Addresses)
			n := NetworkOf(p.Name, peers, testConfig())
			for _, r := range n.Routes {
				require.Equal(t, r.To.Addr().Is4(), r.Via.Is4(), fmt.Sprint(r))
				require.Equal(t, r.To, r.To.Masked())
			}
			for _, vip := range VIPsOf(p.Name, peers, tables, testConfig()) {
				require.True(t, slices.ContainsFunc(tables.Frontends, func(f services.Frontend) bool { return f.Address == vip }), vip)
			}
			require.True(t, n.CNI == "" || json.Valid([]byte(n.CNI)))
		}
		for _, object := range objects { // all gone: nothing may be left
			c.Take(eventOf(object, true))
		}
		require.Empty(t, c.Tables().Frontends)
		require.Empty(t, c.Peers())
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

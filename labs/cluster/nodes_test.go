package cluster

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/labs"
)

// node is a node that takes any pod, but for what change does to it.
func node(name, address string, change ...func(*corev1.Node)) corev1.Node {
	n := corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: "host-" + name}},
		Spec:       corev1.NodeSpec{PodCIDRs: []string{"10.244." + address + ".0/24"}},
		Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: "172.18.0." + address},
			},
		},
	}
	for _, f := range change {
		f(&n)
	}
	return n
}

func controlPlane(n *corev1.Node) { n.Labels["node-role.kubernetes.io/control-plane"] = "" }
func cordoned(n *corev1.Node)     { n.Spec.Unschedulable = true }
func notReady(n *corev1.Node)     { n.Status.Conditions[0].Status = corev1.ConditionUnknown }
func windows(n *corev1.Node)      { n.Labels[corev1.LabelOSStable] = "windows" }

func tainted(effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: effect}} }
}

func TestNodeMapping(t *testing.T) {
	plan := planOf(t, "source-ip") // node-a, node-b
	for _, test := range []struct {
		name  string
		nodes []corev1.Node
		want  map[string]string
		err   string
	}{
		{"by name", []corev1.Node{node("w3", "5"), node("w1", "3"), node("w2", "4")}, map[string]string{"node-a": "w1", "node-b": "w2"}, ""},
		{"workers first", []corev1.Node{node("a", "2", controlPlane), node("w", "3")}, map[string]string{"node-a": "w", "node-b": "a"}, ""},
		{
			"those that take pods",
			[]corev1.Node{
				node("a", "2", cordoned), node("b", "3", notReady), node("c", "4", windows), node("d", "5", tainted(corev1.TaintEffectNoSchedule)),
				node("e", "6", tainted(corev1.TaintEffectNoExecute)), node("f", "7", tainted(corev1.TaintEffectPreferNoSchedule)), node("g", "8"),
			},
			map[string]string{"node-a": "f", "node-b": "g"}, "",
		},
		{
			"too few", []corev1.Node{node("a", "2", controlPlane, tainted(corev1.TaintEffectNoSchedule)), node("w", "3")}, nil,
			"the cluster has 1 of the 2 nodes that topology source-ip needs: nodes must be ready, schedulable, without taints, and run Linux",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			machines, err := mapNodes(plan, test.nodes)
			if test.err != "" {
				var lacking *labs.UnsupportedError
				require.ErrorAs(t, err, &lacking)
				assert.EqualError(t, err, test.err)
				return
			}
			require.NoError(t, err)
			assert.Len(t, machines, len(test.nodes), "those that play nothing are known, too")
			got := make(map[string]string)
			for _, m := range machines {
				if m.TopologyNode != "" {
					got[m.TopologyNode] = m.Name
					assert.Equal(t, "host-"+m.Name, m.Hostname)
				}
			}
			assert.Equal(t, test.want, got)
		})
	}
}

func TestMachineAddress(t *testing.T) {
	m := Node{Name: "w", Addresses: []netip.Addr{netip.MustParseAddr("172.18.0.3"), netip.MustParseAddr("fd00::3")}}
	for v6, want := range map[bool]string{false: "172.18.0.3", true: "fd00::3"} {
		got, err := m.address(v6)
		require.NoError(t, err)
		assert.Equal(t, want, got.String())
	}
	m.Addresses = m.Addresses[:1]
	_, err := m.address(true)
	assert.EqualError(t, err, "node w has no InternalIP of the services' IP version")
}

func TestWho(t *testing.T) {
	machines, err := mapNodes(planOf(t, "source-ip"), []corev1.Node{node("w1", "3"), node("w2", "4"), node("w3", "5")})
	require.NoError(t, err)
	pods := map[string]netip.Addr{"tcp-echo": netip.MustParseAddr("10.244.4.7")}
	for address, want := range map[string]string{
		"172.18.0.3":  "node-a",
		"172.18.0.5":  "node w3",
		"10.244.3.1":  "node-a, by an address of its pod network",
		"10.244.4.7":  "pod tcp-echo",
		"203.0.113.9": "neither the client nor a node",
	} {
		assert.Equal(t, want, who(netip.MustParseAddr(address), machines, pods), address)
	}
	c := Cluster{plan: planOf(t, "source-ip"), nodes: machines, pods: pods}
	for address, want := range map[string]bool{"172.18.0.3": true, "10.244.3.1": true, "172.18.0.4": false, "172.18.0.5": false, "203.0.113.9": false} {
		assert.Equal(t, want, c.isLBNode(netip.MustParseAddr(address)), address)
	}
}

func TestProxies(t *testing.T) {
	set := func(name string, scheduled int32, labels map[string]string) appsv1.DaemonSet {
		return appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: scheduled},
		}
	}
	for _, test := range []struct {
		sets []appsv1.DaemonSet
		want []string
	}{
		{nil, []string{"unknown"}},
		{[]appsv1.DaemonSet{set("dsrd", 3, nil)}, []string{"dsrd"}},
		{[]appsv1.DaemonSet{set("dsrd", 0, nil), set("proxy", 2, map[string]string{"k8s-app": "kube-proxy"}), set("cilium", 2, nil)}, []string{"kube-proxy", "cilium"}},
	} {
		assert.Equal(t, test.want, proxiesOf(test.sets))
	}
}

package kind

import (
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/objects"
)

// planOf plans a topology of the catalogue on substrate kind.
func planOf(t *testing.T, name string) *topologies.Plan {
	topology, err := topologies.Lookup(name)
	require.NoError(t, err)
	topology.Spec.Substrate = topologies.SubstrateKindK
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	return plan
}

func golden(t *testing.T, file string, value any) {
	got, err := yaml.Marshal(value)
	require.NoError(t, err)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got), "UPDATE_GOLDEN=1 writes it anew")
}

func TestConfig(t *testing.T) {
	golden(t, "testdata/local-policy.config.yaml", configOf(planOf(t, "local-policy"), "dsrlab-x", "node:v1", "/refuse.conf"))
}

// TestConfigLabels: nodes have the topology's labels beside the one that they are found by.
func TestConfigLabels(t *testing.T) {
	plan := planOf(t, "talk")
	for i := range plan.Nodes {
		if plan.Nodes[i].Name == "worker" {
			plan.Nodes[i].Labels = map[string]string{"topology.kubernetes.io/zone": "east"}
		}
	}
	config := configOf(plan, "dsrlab-x", "node:v1", "/refuse.conf")
	require.Len(t, config.Nodes, 3)
	assert.Equal(t, map[string]string{"dsrlab.dev/node": "lb"}, config.Nodes[1].Labels)
	assert.Equal(t, map[string]string{"dsrlab.dev/node": "worker", "topology.kubernetes.io/zone": "east"}, config.Nodes[2].Labels)
}

func TestRefuseUnit(t *testing.T) {
	assert.Equal(t, `# Without kube-proxy and CNI, packets to addresses that no one has would follow the default route out.
[Service]
ExecStartPre=ip route replace unreachable 10.244.0.0/16 metric 4278198272
ExecStartPre=ip route replace unreachable 10.96.0.0/16 metric 4278198272
`, refuseUnit(PodCIDR, ServiceCIDR))
}

func TestReaddressed(t *testing.T) {
	plan := planOf(t, "talk")
	s := seen{
		subnet: netip.MustParsePrefix("172.18.0.0/16"),
		nodes: map[string]seenNode{
			"lb":     {netip.MustParseAddr("172.18.0.3"), netip.MustParsePrefix("10.244.2.0/24"), topologies.HardwareAddr{2, 0, 0, 0, 0, 3}},
			"worker": {netip.MustParseAddr("172.18.0.4"), netip.MustParsePrefix("10.244.1.0/24"), topologies.HardwareAddr{2, 0, 0, 0, 0, 4}},
		},
		pods: map[string]seenPod{"tcp-echo": {
			netip.MustParseAddr("10.244.1.7"), topologies.HardwareAddr{2, 0, 0, 0, 1, 7}, topologies.HardwareAddr{2, 0, 0, 0, 1, 8}, "vethpod"}},
		clusterIPs: map[string][]string{"tcp-echo": {"10.96.7.7"}},
	}
	before := *plan
	got, err := readdressed(plan, s)
	require.NoError(t, err)
	golden(t, "testdata/talk.readdressed.yaml", got)
	assert.Equal(t, before, *plan, "the topology's plan is as it was")
	assert.Equal(t, plan.Hash, got.Hash)

	got, err = readdressed(planOf(t, "source-ip"), seen{subnet: netip.MustParsePrefix("1.2.0.0/16")})
	assert.Nil(t, got)
	assert.EqualError(t, err, "network internet, 1.2.3.0/24, overlaps 1.2.0.0/16 of the cluster: give it another subnet")
}

func TestCheck(t *testing.T) {
	for _, name := range []string{"talk", "source-ip", "local-policy"} {
		assert.NoError(t, check(planOf(t, name)), name)
	}
	assert.ErrorContains(t, check(planOf(t, "dual-stack")), "and a kind cluster is made for IPv4 alone")
	plan := planOf(t, "talk")
	plan.Nodes[1].Network = "elsewhere"
	assert.ErrorContains(t, check(plan), "node worker: it is in network lan and others in elsewhere")
}

func TestWithoutUpstream(t *testing.T) {
	// As kubeadm writes it.
	const before = `.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
`
	after := withoutUpstream(before)
	assert.NotContains(t, after, "forward")
	assert.NotContains(t, after, "max_concurrent")
	assert.NotContains(t, after, "loop\n")
	assert.Contains(t, after, "    prometheus :9153\n    cache 30 {\n")
	assert.Contains(t, after, "    }\n    reload\n    loadbalance\n}\n")
}

func TestWorkloadObjects(t *testing.T) {
	plan := planOf(t, "local-policy")
	golden(t, "testdata/local-policy.workload.yaml", []any{podOf(&plan.Pods[0], "image:tag"), objects.Service(&plan.Services[0], metav1.NamespaceDefault, plan.Pods)})
}

package topologies

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDiff(t *testing.T) {
	source, err := Source("talk")
	require.NoError(t, err)
	before := planOf(t, "talk", source)
	for name, test := range map[string]struct {
		changes []string // pairs of old and new
		want    []string
	}{
		"nothing":     {nil, nil},
		"description": {[]string{"Slides 23 and 24:", "Two slides:"}, nil},
		"link": {[]string{"rate: 100mbit", "rate: 200mbit, queue: 64kb, burst: 3200b"}, []string{
			"node lb: link was 100mbit with queue 256kb, burst 6250b, overhead 24, is 200mbit with queue 64kb, burst 3200b, overhead 24",
		}},
		"one direction": {[]string{"{rate: 100mbit}", "{toNode: {rate: 100mbit}}"}, []string{
			"node lb: link from the node was 100mbit with queue 256kb, burst 6250b, overhead 24, is not shaped",
		}},
		"limit": {[]string{"rate: 100mbit", "rate: 100mbit, limit: police, burst: 3100b"}, []string{
			"node lb: link was 100mbit with queue 256kb, burst 6250b, overhead 24, is 100mbit policed with burst 3100b, overhead 24",
		}},
		"limit that is the default": {[]string{"rate: 100mbit", "rate: 100mbit, limit: shape"}, nil},
		"limit of one direction": {[]string{"rate: 100mbit", "rate: 100mbit, fromNode: {limit: police}"}, []string{
			"node lb: link from the node was 100mbit with queue 256kb, burst 6250b, overhead 24, is 100mbit policed with burst 62500b, overhead 24",
		}},
		"global": {[]string{"spec:\n  networks", "spec:\n  mtu: 9000\n  substrate: kind\n  congestionControl: bbr\n  networks", "rate: 1gbit}\n  - name: lb", "rate: 1gbit, burst: 62500b}\n  - name: lb"}, []string{
			"the substrate was netns, is kind",
			"the congestion control was cubic, is bbr",
			"the MTU was 1500, is 9000",
			"node lb: link was 100mbit with queue 256kb, burst 6250b, overhead 24, is 100mbit with queue 256kb, burst 18076b, overhead 24",
		}},
		"node": {[]string{"name: worker\n    role: worker\n    addresses: [192.168.1.13] ", "name: other\n    role: worker\n    addresses: [192.168.1.14] ", "node: worker", "node: other"}, []string{
			"node worker is gone",
			"node other is new",
			"pod tcp-echo: node was worker, is other",
		}},
		"role and pod CIDR": {[]string{"role: lb\n", "role: worker\n", "podCIDRs: [10.0.0.0/24]", "podCIDRs: [10.7.0.0/24]"}, []string{
			"node lb: role was lb, is worker",
			"node lb: pod CIDR was 10.0.0.0/24, is 10.7.0.0/24",
		}},
		"labels of a node": {[]string{"podCIDRs: [10.0.0.0/24]", "podCIDRs: [10.0.0.0/24]\n    labels: {topology.kubernetes.io/zone: east}"}, []string{
			"node lb: labels was none, is topology.kubernetes.io/zone=east",
		}},
		"pod": {[]string{"addresses: [10.0.1.50]", "addresses: [10.0.1.51]", "labels: {app: tcp-echo}", "labels: {app: tcp-echo, tier: front}", "port: 5201, name: bulk", "port: 5202, name: bulk"}, []string{
			"pod tcp-echo: address was 10.0.1.50, is 10.0.1.51",
			"pod tcp-echo: labels was app=tcp-echo, is app=tcp-echo, tier=front",
			"pod tcp-echo: workload was echo on 8080 (echo), bulk on 5201 (bulk), is echo on 8080 (echo), bulk on 5202 (bulk)",
		}},
		"network": {[]string{"gateways: [192.168.1.254]", "gateways: [192.168.1.1]"}, []string{
			"network lan: gateway was 192.168.1.254, is 192.168.1.1",
		}},
		"service": {[]string{"externalTrafficPolicy: Cluster", "externalTrafficPolicy: Local", "metadata: {name: tcp-echo}", "metadata: {name: tcp-echo, annotations: {dsrlab.dev/forwarding-mode: dsr}}"}, []string{
			"service default/tcp-echo: spec.externalTrafficPolicy was Cluster, is Local",
			"service default/tcp-echo: metadata.annotations.dsrlab.dev/forwarding-mode was not set, is dsr",
			"service default/tcp-echo: spec.healthCheckNodePort was not set, is 30000",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			changed := string(source)
			for i := 0; i < len(test.changes); i += 2 {
				require.Contains(t, changed, test.changes[i])
				changed = strings.Replace(changed, test.changes[i], test.changes[i+1], 1)
			}
			after := planOf(t, "changed", []byte(changed))
			assert.Equal(t, test.want, before.Diff(after))
			assert.Equal(t, len(test.want) == 0, before.Hash == after.Hash)
			assert.Equal(t, len(test.want) == 0, len(after.Diff(before)) == 0)
		})
	}
}

func TestDiffOfOrder(t *testing.T) {
	source, err := Source("source-ip")
	require.NoError(t, err)
	text := string(source)
	begin, end := strings.Index(text, "  - name: internet"), strings.Index(text, "  nodes:")
	middle := strings.Index(text, "  - name: cluster")
	swapped := text[:begin] + text[middle:end] + text[begin:middle] + text[end:]
	assert.Equal(t, []string{"the same things are there, in another order or with other derived values"},
		planOf(t, "a", source).Diff(planOf(t, "b", []byte(swapped))))
}

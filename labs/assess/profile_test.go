package assess

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/topologies"
)

// oversubscribed are the nodes of lab 08, with one LB node, and pods on the first of the workers.
func oversubscribed(t *testing.T, workers int) Observations {
	t.Helper()
	topology, err := topologies.Lookup("oversubscription")
	require.NoError(t, err)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	o := Observations{Profile: &Profile{Name: "downloads", Requests: 1, RequestBytes: 100, ReplyBytes: 100e6, Entry: map[string]float64{"lb": 1}, Pods: map[string]float64{}}}
	for _, n := range plan.Nodes {
		if n.Role == topologies.RoleClient {
			continue
		}
		o.Nodes = append(o.Nodes, Node{Name: n.Name, LinkRate: float64(n.FromNode.Rate)})
		if n.Role == topologies.RoleWorker && len(o.Profile.Pods) < workers {
			o.Profile.Pods[n.Name] = 1
		}
	}
	require.Len(t, o.Profile.Pods, workers)
	return o
}

// measured is the median of what lab 08's reference run has for a variant.
func measured(t *testing.T, variant, pods string) float64 {
	t.Helper()
	run, err := results.Store{Reference: results.Reference()}.FindOn("08-oversubscription", string(topologies.SubstrateNetns))
	require.NoError(t, err)
	var values []float64
	for _, s := range run.Samples {
		if s.Metric == "payload_rate_together" && s.Variant == variant && s.Valid() && s.Labels["pods"] == pods && s.Labels["limit"] == "" {
			values = append(values, s.Value)
		}
	}
	require.NotEmpty(t, values)
	return stats.Median(values)
}

// The prediction is within 10 % of what the reference run measured: N to one, and N times as much.
func TestPredictionIsWhatWasMeasured(t *testing.T) {
	for pods, workers := range map[string]int{"1": 1, "8": 8} {
		p := Diagnose(oversubscribed(t, workers)).Prediction
		require.NotNil(t, p)
		assert.InEpsilon(t, measured(t, "kube-proxy", pods), p.Now.Replies, 0.1, "%s pods, now", pods)
		assert.InEpsilon(t, measured(t, "dsr", pods), p.DSR.Replies, 0.1, "%s pods, DSR", pods)
	}
	p := Diagnose(oversubscribed(t, 8)).Prediction
	assert.Equal(t, "lb", p.Now.Node)
	assert.Equal(t, "worker-1", p.DSR.Node)
}

// All that comes in goes out somewhere, but for what clients and pods send and get.
func TestPredictionKeepsBytes(t *testing.T) {
	o := fabric{}.observe()
	o.Profile = &Profile{Requests: 1000, RequestBytes: 400, ReplyBytes: 20e3, Tokens: 50, ReplyPackets: 50, Entry: map[string]float64{"a": 2, "b": 1}}
	p := Diagnose(o).Prediction
	require.Len(t, p.Ports, 3)
	var now, dsr Load
	for _, port := range p.Ports {
		now.add(1, 1, stream{})
		now.BytesIn, now.BytesOut = now.BytesIn+port.Now.BytesIn, now.BytesOut+port.Now.BytesOut
		dsr.BytesIn, dsr.BytesOut = dsr.BytesIn+port.DSR.BytesIn, dsr.BytesOut+port.DSR.BytesOut
	}
	q, r, _ := o.Profile.frames()
	assert.InEpsilon(t, r.bytes-q.bytes, now.BytesOut-now.BytesIn, 1e-9)
	assert.InEpsilon(t, r.bytes-q.bytes, dsr.BytesOut-dsr.BytesIn, 1e-9)
	assert.InEpsilon(t, 50000.0, r.packets, 0.01, "each of 50 tokens in a packet of its own")
	assert.InEpsilon(t, p.DSR.Requests*50, p.DSR.Tokens, 1e-9)
	assert.Greater(t, p.DSR.Requests, p.Now.Requests)
	report := Diagnose(o)
	assert.Contains(t, report.GainLines()[0], "1000 requests/s of 400 bytes, replies of 20000 bytes), by port, over IPv4:")

	o.Nodes[1].LinkRate = 0
	p = Diagnose(o).Prediction
	assert.Nil(t, p.Now, "the rate of a port is not known")
	o.Profile = nil
	assert.Nil(t, Diagnose(o).Prediction)
}

func TestProfileRefuses(t *testing.T) {
	const head = "schema: " + Schema + "\nnodes: [{name: a, addresses: []}]\nprofile: "
	for document, want := range map[string]string{
		"{}":                               "profile.requestsPerSecond: found 0 (want more than 0)",
		"{requestBytes: 1, replyBytes: 1}": "profile.requestsPerSecond: found 0 (want more than 0)",
		"{requestsPerSecond: 1, requestBytes: 1, replyBytes: 1, entry: {b: 1}}":                    `profile.entry: unknown node "b" (want one of nodes)`,
		"{requestsPerSecond: 1, requestBytes: 1, replyBytes: 1, pods: {a: -1}}":                    "profile.pods: found -1 for a (want 0 or more)",
		"{requestsPerSecond: 1, requestBytes: 1, replyBytes: 1, tokens: -1}":                       "profile: found 0 packets and -1 tokens in a reply (want 0 or more)",
		"{requestsPerSecond: 1, requestBytes: 1, replyBytes: 1, acknowledgements: {perReply: -1}}": "profile.acknowledgements: found -1 of a reply and 0 of a request (want 0 or more)",
	} {
		for range 20 { // the same one each time
			_, err := Parse([]byte(head + document))
			assert.EqualError(t, err, want)
		}
	}
}

// A pod that several services select is one pod, and those of services within the cluster answer no client.
func TestPods(t *testing.T) {
	service := func(namespace, name, app string, kind corev1.ServiceType, endpoints map[string]int) Service {
		s := Service{Endpoints: endpoints}
		s.Service.Namespace, s.Service.Name, s.Service.Spec.Type = namespace, name, kind
		if app != "" {
			s.Service.Spec.Selector = map[string]string{"app": app}
		}
		return s
	}
	o := Observations{Services: []Service{
		service("shop", "web", "web", corev1.ServiceTypeLoadBalancer, map[string]int{"a": 2, "b": 1}),
		service("shop", "web-tls", "web", corev1.ServiceTypeNodePort, map[string]int{"a": 2, "b": 1}),
		service("shop", "images", "images", corev1.ServiceTypeLoadBalancer, map[string]int{"b": 3}),
		service("test", "web", "web", corev1.ServiceTypeLoadBalancer, map[string]int{"b": 1}),
		service("test", "by-hand", "", corev1.ServiceTypeNodePort, map[string]int{"c": 1}),
		service("test", "by-hand-too", "", corev1.ServiceTypeNodePort, map[string]int{"c": 1}),
		service("shop", "database", "database", corev1.ServiceTypeClusterIP, map[string]int{"a": 7, "d": 7}),
	}}
	assert.Equal(t, map[string]int{"a": 2, "b": 5, "c": 2}, o.Pods())
}

package cluster

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// measured is what of a run's summary is looked at.
type measured struct {
	Result string `json:"result"`
	Claims []struct {
		ID, Verdict string
	} `json:"claims"`
	Metrics []struct {
		Variant string            `json:"variant"`
		Metric  string            `json:"metric"`
		Median  *float64          `json:"median"`
		Labels  map[string]string `json:"labels"`
	} `json:"metrics"`
}

// of returns a metric's median over TCP.
func (m *measured) of(t *testing.T, variant, metric string) float64 {
	t.Helper()
	for _, each := range m.Metrics {
		if each.Variant == variant && each.Metric == metric && each.Labels["protocol"] == "tcp" && each.Median != nil {
			return *each.Median
		}
	}
	require.Fail(t, "not measured", "%s of %s", metric, variant)
	return 0
}

// lab runs the lab of the client's address on the cluster.
func (c *cluster) lab(t *testing.T, dataPath string) *measured {
	t.Helper()
	stdout, stderr, code := c.dsrlabCommand(t, "lab", "run", "01-source-ip", "--substrate", "cluster", "--kubeconfig", c.admin, "--data-path", dataPath,
		"--runs", t.TempDir(), "-o", "json")
	require.Zero(t, code, "%s%s", stdout, stderr)
	var run measured
	require.NoError(t, json.Unmarshal([]byte(stdout), &run), stdout)
	assert.Equal(t, "passed", run.Result)
	return &run
}

// TestKubeProxy: labs run on a cluster with kube-proxy, and leave it as it was.
func TestKubeProxy(t *testing.T) {
	c := up(t, "would-it-work", true)
	c.installKubeProxy(t)
	before := c.objects(t)
	assert.Zero(t, c.lab(t, "as-is").of(t, "as-is", "source_preserved"), "kube-proxy translates")
	assert.Equal(t, before, c.objects(t))
	c.assess(t, "kube-proxy, nftables")
}

// TestDSRD: the manifests of dsrd make it the pods' network and the proxy of services, in mode dsr.
func TestDSRD(t *testing.T) {
	c := up(t, "would-it-work", false)
	c.installDSRD(t)
	before := c.objects(t)
	run := c.lab(t, "dsrlab")
	assert.Equal(t, 1.0, run.of(t, "dsr", "source_preserved"))
	assert.Zero(t, run.of(t, "snat", "source_preserved"))
	assert.Equal(t, before, c.objects(t))
	c.assess(t, "dsrd")
}

package kind

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// belongings are what must be on a cluster after a lab as they were before.
type belongings struct {
	Namespaces, Pods, Services, DaemonSets []string
	Nodes                                  map[string]map[string]string // their labels
	Kubeconfig                             string
}

func belongingsOf(t *testing.T, client kubernetes.Interface, kubeconfig string) belongings {
	t.Helper()
	b := belongings{Nodes: make(map[string]map[string]string)}
	all := metav1.ListOptions{}
	namespaces, err := client.CoreV1().Namespaces().List(t.Context(), all)
	require.NoError(t, err)
	for _, n := range namespaces.Items {
		b.Namespaces = append(b.Namespaces, n.Name)
	}
	pods, err := client.CoreV1().Pods("").List(t.Context(), all)
	require.NoError(t, err)
	for _, p := range pods.Items {
		b.Pods = append(b.Pods, p.Namespace+"/"+p.Name+" "+string(p.UID))
	}
	services, err := client.CoreV1().Services("").List(t.Context(), all)
	require.NoError(t, err)
	for _, s := range services.Items {
		b.Services = append(b.Services, s.Namespace+"/"+s.Name+" "+s.ResourceVersion)
	}
	sets, err := client.AppsV1().DaemonSets("").List(t.Context(), all)
	require.NoError(t, err)
	for _, d := range sets.Items {
		b.DaemonSets = append(b.DaemonSets, d.Name+" "+d.ResourceVersion)
	}
	nodes, err := client.CoreV1().Nodes().List(t.Context(), all)
	require.NoError(t, err)
	for _, n := range nodes.Items {
		b.Nodes[n.Name] = n.Labels
	}
	text, err := os.ReadFile(kubeconfig)
	require.NoError(t, err)
	b.Kubeconfig = string(text)
	return b
}

// TestExistingCluster: labs run on a cluster that is not theirs, as it is and with its dsrd, and leave it as it was.
func TestExistingCluster(t *testing.T) {
	b := newBench(t)
	b.must(t, "up", "-f", "local-policy", "--name", "talk", "--substrate", "kind", "--image", b.image)
	kubeconfig := filepath.Join(b.dir, "talk", "kubeconfig")
	client := b.client(t)
	before := belongingsOf(t, client, kubeconfig)
	run := []string{"lab", "run", "01-source-ip", "03-local-policy", "--substrate", "cluster", "--kubeconfig", kubeconfig, "--runs", t.TempDir()}

	type summary struct {
		Result string `json:"result"`
		Claims []struct {
			ID      string `json:"id"`
			Verdict string `json:"verdict"`
		} `json:"claims"`
		Metrics []struct {
			Variant string            `json:"variant"`
			Metric  string            `json:"metric"`
			Median  *float64          `json:"median"`
			Labels  map[string]string `json:"labels"`
		} `json:"metrics"`
	}
	measure := func(t *testing.T, path string) (all []summary, value func(lab int, variant, metric, label, is string) float64) {
		out := b.must(t, append(run, "--data-path", path, "-o", "json")...)
		require.NoError(t, json.Unmarshal([]byte(out), &all), out)
		require.Len(t, all, 2)
		return all, func(lab int, variant, metric, label, is string) float64 {
			for _, m := range all[lab].Metrics {
				if m.Variant == variant && m.Metric == metric && m.Labels[label] == is && m.Median != nil {
					return *m.Median
				}
			}
			require.Fail(t, "not measured", "%s of %s, %s=%s", metric, variant, label, is)
			return 0
		}
	}

	t.Run("dsrlab", func(t *testing.T) {
		all, value := measure(t, "dsrlab")
		for _, s := range all {
			assert.Equal(t, "passed", s.Result)
		}
		require.Len(t, all[1].Claims, 1)
		assert.Equal(t, "reproduced", all[1].Claims[0].Verdict, "%v", all[1].Claims)
		assert.Equal(t, 1.0, value(0, "dsr", "source_preserved", "protocol", "udp"))
		assert.Equal(t, 0.0, value(0, "snat", "source_preserved", "protocol", "tcp"))
		assert.Equal(t, 1.0, value(0, "snat", "source_is_lb_node", "protocol", "tcp"))
	})
	t.Run("as it is", func(t *testing.T) {
		all, value := measure(t, "as-is")
		for _, s := range all {
			assert.Equal(t, "passed", s.Result)
			assert.Empty(t, s.Claims, "nothing is judged")
		}
		assert.Equal(t, 1.0, value(0, "as-is", "source_preserved", "protocol", "tcp"), "that cluster's proxy is dsrd, in mode dsr")
		assert.Equal(t, 0.0, value(1, "as-is-local", "connected", "node", "node-c"))
		assert.Equal(t, 503.0, value(1, "as-is-local", "health_status", "node", "node-c"))
		assert.Equal(t, 200.0, value(1, "as-is-local-everywhere", "health_status", "node", "node-c"))
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for ctx.Err() == nil { // until its pods are made
				pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
				for i := 0; err == nil && i < len(pods.Items); i++ {
					if strings.HasPrefix(pods.Items[i].Namespace, "dsrlab-") {
						cancel()
					}
				}
				time.Sleep(100 * time.Millisecond)
			}
		}()
		_, err := b.run(ctx, append(run, "--data-path", "as-is")...)
		assert.Error(t, err)
	})
	assert.Equal(t, before, belongingsOf(t, client, kubeconfig))
}

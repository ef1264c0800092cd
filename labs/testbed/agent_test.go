package testbed

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/dsrlab/dsrlab/topologies"
)

// get asks an HTTP server from within a namespace of the testbed.
func (tb *Testbed) get(t *testing.T, from, url string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			err = tb.network.Do(from, func() error {
				conn, err = new(net.Dialer).DialContext(ctx, network, address)
				return err
			})
			return conn, err
		},
	}}
	response, err := client.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(all)
}

// TestHealthChecks: the nodes of a service with externalTrafficPolicy Local tell whether they have pods of it, under our data
// path and under kube-proxy's rules; and the agent that answers shows the node's counters.
func TestHealthChecks(t *testing.T) {
	const port = 32100
	tb := upOf(t, "five-nodes", Options{Agent: testLabs.Program(t, "dsrd")}, func(topology *topologies.Topology) {
		service := &topology.Spec.Services[0].Spec
		service.ExternalTrafficPolicy, service.HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyLocal, port
	})
	for _, v := range []Variant{dsr, {Name: "kube-proxy", DataPath: DataPathKubeProxy}} {
		require.NoError(t, tb.Install(t.Context(), v))
		for _, n := range tb.ClusterNodes() {
			pods := 0
			for _, p := range tb.plan.Pods {
				if p.Node == n.Name {
					pods++
				}
			}
			want := map[bool]int{true: http.StatusOK, false: http.StatusServiceUnavailable}[pods > 0]
			url := fmt.Sprintf("http://%v:%d/", n.Addresses[0].Addr(), port)
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				err := tb.network.Do("client", func() error {
					conn, err := net.DialTimeout("tcp", fmt.Sprintf("%v:%d", n.Addresses[0].Addr(), port), time.Second)
					if err == nil {
						conn.Close()
					}
					return err
				})
				assert.NoError(c, err)
			}, patience, 20*time.Millisecond)
			status, body := tb.get(t, "client", url)
			assert.Equal(t, want, status, "%s, %s: %s", v.Name, n.Name, body)
			var answer struct{ LocalEndpoints int }
			require.NoError(t, json.Unmarshal([]byte(body), &answer))
			assert.Equal(t, pods, answer.LocalEndpoints)
		}
	}
	require.NoError(t, tb.Install(t.Context(), dsr))
	_, body := tb.get(t, "client", fmt.Sprintf("http://%v:9964/metrics", tb.LBNodes()[0].Addresses[0].Addr()))
	assert.Contains(t, body, `dsrlab_loaded{node="lb-1"} 1`)
	assert.Contains(t, body, `dsrlab_packets_total{node="lb-1",reason="to-overlay-dsr",verdict="forwarded"}`)
}

package health

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestProxy: healthz and livez of a node answer as kube-proxy's do.
func TestProxy(t *testing.T) {
	network := &loopback{}
	var healthy, eligible atomic.Bool
	p := ServeProxy(ProxyOptions{Address: ":10256", Listen: network.listen, Healthy: healthy.Load, Eligible: eligible.Load})
	t.Cleanup(func() { assert.NoError(t, p.Close()) })
	require.Eventually(t, func() bool { return network.at(":10256") != "" }, time.Minute, time.Millisecond)
	client := newClient(t)
	for _, test := range []struct {
		name              string
		healthy, eligible bool
		healthz, livez    int
		updated           bool
	}{
		{"starting", false, true, 503, 503, false},
		{"forwarding", true, true, 200, 200, true},
		{"draining, or being deleted", true, false, 503, 200, true},
		{"failed", false, true, 503, 503, true},
		{"both", false, false, 503, 503, true},
		{"again", true, true, 200, 200, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			healthy.Store(test.healthy)
			eligible.Store(test.eligible)
			for path, status := range map[string]int{"healthz": test.healthz, "livez": test.livez} {
				r := get(t, client, network.url(":10256")+path)
				assert.Equal(t, status, r.status, path)
				assert.Equal(t, "application/json", r.header.Get("Content-Type"))
				assert.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"))
				var body struct {
					LastUpdated, CurrentTime string
					NodeEligible             *bool
				}
				require.NoError(t, json.Unmarshal([]byte(r.body), &body), r.body)
				assert.Equal(t, path == "healthz", body.NodeEligible != nil, r.body)
				if body.NodeEligible != nil {
					assert.Equal(t, test.eligible, *body.NodeEligible)
				}
				assert.NotContains(t, body.CurrentTime, "m=")
				assert.Equal(t, test.healthy, body.LastUpdated == body.CurrentTime, r.body)
				assert.Equal(t, test.updated, !strings.HasPrefix(body.LastUpdated, "0001-01-01"), r.body)
			}
		})
	}
	assert.Equal(t, 404, get(t, client, network.url(":10256")).status)
}

// TestProxyPort: the port is taken as soon as it is free, and free after Close.
func TestProxyPort(t *testing.T) {
	always := func() bool { return true }
	network := &loopback{fails: map[string]error{":10256": errors.New("address already in use")}}
	p := ServeProxy(ProxyOptions{Address: ":10256", Listen: network.listen, Healthy: always, Eligible: always})
	require.Eventually(t, func() bool {
		network.mu.Lock()
		defer network.mu.Unlock()
		return len(network.asked) > 0
	}, time.Minute, time.Millisecond)
	network.mu.Lock()
	network.fails = nil
	network.mu.Unlock()
	require.Eventually(t, func() bool { return network.at(":10256") != "" }, time.Minute, time.Millisecond)
	client := newClient(t)
	assert.Equal(t, 200, get(t, client, network.url(":10256")+"healthz").status)
	require.NoError(t, p.Close())
	assertRefused(t, network.at(":10256"))

	p = ServeProxy(ProxyOptions{Address: "127.0.0.1:0", Healthy: always, Eligible: always,
		Listen: func(context.Context, string, string) (net.Listener, error) { return nil, errors.New("never") }})
	require.NoError(t, p.Close(), "while it waits")
}

package edge

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// TestDeadAndRevivedLBNode: connections go on by the other LB node, and by the one that comes back without any flow.
func TestDeadAndRevivedLBNode(t *testing.T) {
	tb, _ := unserved(t, "five-nodes", nil)
	labtest.ServeLines(t, tb, tb.Plan().Pods, 5201)
	to := netip.AddrPortFrom(echoVIP.Addr(), 5201)
	require.NoError(t, tb.Install(t.Context(), dsr))
	before, err := VIPRoutes(tb, netns.Fabric)
	require.NoError(t, err)
	names := make(map[labtest.Caller]string)
	connect := func() {
		for range 16 {
			c := labtest.Call(t, tb, "client", to)
			names[c] = c.Ask(t)
		}
	}
	goOn := func(when string) {
		for c, name := range names {
			assert.Equal(t, name, c.Ask(t), when)
		}
	}
	connect()
	require.NoError(t, FailNode(t.Context(), tb, "lb-1", time.Millisecond))
	goOn("without lb-1")
	connect()
	assert.EqualError(t, FailNode(t.Context(), tb, "lb-2", 0), "fail lb-2: the last LB node that lives must not die")
	goOn("lb-2 lives on")
	require.NoError(t, RestartNode(t.Context(), tb, "lb-1", dsr))
	goOn("with lb-1 again")
	after, err := VIPRoutes(tb, netns.Fabric)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	assert.EqualError(t, FailNode(t.Context(), tb, "worker-1", 0), `fail LB node: unknown LB node "worker-1" of five-nodes`)
	assert.EqualError(t, RestartNode(t.Context(), tb, "worker-1", dsr), `restart LB node: unknown LB node "worker-1" of five-nodes`)
}

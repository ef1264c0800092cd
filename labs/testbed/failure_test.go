package testbed

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// TestDeadAndRevivedLBNode: connections go on by the other LB node, and by the one that comes back without any flow.
func TestDeadAndRevivedLBNode(t *testing.T) {
	tb, to := linesStand(t, nil)
	require.NoError(t, tb.Install(t.Context(), dsr))
	before, err := tb.VIPRoutes(netns.Fabric)
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
	require.NoError(t, tb.FailNode(t.Context(), "lb-1", time.Millisecond))
	goOn("without lb-1")
	connect()
	assert.EqualError(t, tb.FailNode(t.Context(), "lb-2", 0), "fail lb-2: the last LB node that lives must not die")
	goOn("lb-2 lives on")
	require.NoError(t, tb.RestartNode(t.Context(), "lb-1", dsr))
	goOn("with lb-1 again")
	after, err := tb.VIPRoutes(netns.Fabric)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	assert.EqualError(t, tb.FailNode(t.Context(), "worker-1", 0), `fail LB node: unknown LB node "worker-1" of five-nodes`)
	assert.EqualError(t, tb.RestartNode(t.Context(), "worker-1", dsr), `restart LB node: unknown LB node "worker-1" of five-nodes`)
}

// TestDrainInEveryVariant: what runs goes on, and what is new goes elsewhere, whoever balances.
func TestDrainInEveryVariant(t *testing.T) {
	tb, to := linesStand(t, nil)
	pod := tb.plan.Pods[0].Name
	for _, v := range []Variant{
		dsr, {Name: "snat", DataPath: DataPathDSRLab, Mode: services.ModeSNAT}, {Name: "kube-proxy", DataPath: DataPathKubeProxy},
	} {
		t.Run(v.Name, func(t *testing.T) {
			require.NoError(t, tb.Install(t.Context(), v))
			kept := tb.callsTo(t, to, pod)
			require.NoError(t, tb.SetDraining(t.Context(), v, pod, true))
			for _, c := range kept {
				assert.Equal(t, pod, strings.TrimSpace(c.Ask(t)))
			}
			for range 24 {
				assert.NotEqual(t, pod, strings.TrimSpace(labtest.Call(t, tb, "client", to).Ask(t)))
			}
			require.NoError(t, tb.SetDraining(t.Context(), v, pod, false))
			tb.callsTo(t, to, pod)
		})
	}
	assert.EqualError(t, tb.SetDraining(t.Context(), dsr, "nobody", true), "drain nobody: no service has a pod of this name")
}

// callsTo are three connections which a pod answers, as soon as there are so many.
func (tb *Testbed) callsTo(t *testing.T, to netip.AddrPort, pod string) []labtest.Caller {
	t.Helper()
	var all []labtest.Caller
	for range 2 * labtest.ManyCalls {
		c := labtest.Call(t, tb, "client", to)
		if strings.TrimSpace(c.Ask(t)) != pod {
			c.Close()
		} else if all = append(all, c); len(all) == 3 {
			return all
		}
	}
	require.FailNow(t, "hardly any connection is answered by "+pod)
	return nil
}

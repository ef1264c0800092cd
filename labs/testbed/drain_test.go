package testbed

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/labtest"
)

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

package prober

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	diagnosis "github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/obstacle"
	"github.com/dsrlab/dsrlab/labs/testbed"
)

// newTestbed builds the topology would-it-work, without limits of its links.
func newTestbed(t *testing.T) *testbed.Testbed {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	plan, _ := labtest.Plan(t, "would-it-work", nil) // nobody needs to answer
	tb, _, err := testbed.Up(t.Context(), plan, testbed.Options{StateDir: testLabs.StateDir(t), LabPod: os.Args[0]})
	require.NoError(t, err)
	return tb
}

// observe probes the testbed.
func observe(t *testing.T, tb *testbed.Testbed) *diagnosis.Observations {
	t.Helper()
	site, err := OnTestbed(tb, "")
	require.NoError(t, err)
	o, err := Observe(t.Context(), site, Options{Idle: 50 * time.Millisecond})
	require.NoError(t, err)
	return o
}

// causes are those of a report's findings, each once, sorted; those that exclude each other joined by "or".
func causes(r diagnosis.Report) []string {
	all := []string{}
	for _, f := range r.Findings {
		var names []string
		for _, c := range f.Causes {
			names = append(names, string(c))
		}
		name := strings.Join(names, " or ")
		if !f.Certain {
			name += "?"
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// expect compares what is diagnosed.
func expect(t *testing.T, tb *testbed.Testbed, want ...string) diagnosis.Report {
	t.Helper()
	o := observe(t, tb)
	r := diagnosis.Diagnose(*o)
	if !assert.ElementsMatch(t, want, causes(r)) {
		for _, f := range r.Findings {
			t.Logf("%v certain %v at %v %v %v", f.Causes, f.Certain, f.Nodes, f.Pairs, f.Frontends)
			for _, e := range f.Evidence {
				t.Log("    ", e)
			}
		}
		t.Logf("unknown: %v", r.Unknown)
	}
	return r
}

// assertNoTables checks that no obstacle has left rules anywhere.
func assertNoTables(t *testing.T, tb *testbed.Testbed) {
	t.Helper()
	for _, place := range tb.Network().Namespaces() {
		require.NoError(t, tb.Network().Do(place, func() error {
			conn, err := nftables.New()
			require.NoError(t, err)
			tables, err := conn.ListTables()
			require.NoError(t, err)
			assert.Empty(t, tables, place)
			return nil
		}))
	}
}

// diagnosed are the causes that each obstacle alone has.
func diagnosed() map[string]diagnosis.Cause {
	return map[string]diagnosis.Cause{
		"source-check":       diagnosis.SourceCheck,
		"port-security":      diagnosis.PortSecurity,
		"urpf":               diagnosis.URPF,
		"dnat-nlb":           diagnosis.DNATLoadBalancer,
		"one-way-firewall":   diagnosis.StatefulFirewall,
		"half-open-firewall": diagnosis.StatefulFirewall,
		"geneve-blocked":     diagnosis.GeneveBlocked,
		"node-behind-nat":    diagnosis.NodeBehindNAT,
		"path-mtu":           diagnosis.MTUTooSmall,
		"vlan-overhead":      diagnosis.VLANOverhead,
		"mtu-mixed":          diagnosis.MTUMixed,
		"rp-filter":          diagnosis.RPFilter,
		"conntrack-invalid":  diagnosis.ConntrackInvalid + "?", // the probes, and a data path of eBPF programs, go around the rule
	}
}

// TestObstacles: each obstacle alone, and some two at a time, are diagnosed with their causes and no others; without one there is no
// finding.
func TestObstacles(t *testing.T) {
	tb := newTestbed(t)
	cause := diagnosed()
	var sets [][]string
	for _, o := range obstacle.All() {
		require.Contains(t, cause, o.Name)
		sets = append(sets, []string{o.Name})
	}
	sets = append(sets,
		[]string{"source-check", "geneve-blocked"},
		[]string{"port-security", "path-mtu"},
		[]string{"urpf", "vlan-overhead"},
		[]string{"dnat-nlb", "mtu-mixed"},
		[]string{"one-way-firewall", "geneve-blocked"},
		[]string{"geneve-blocked", "path-mtu"},
		[]string{"rp-filter", "urpf"},
		[]string{"node-behind-nat", "vlan-overhead"},
	)
	healthy := func(t *testing.T) { assert.Equal(t, diagnosis.Works, expect(t, tb).Verdict) }
	t.Run("healthy", healthy)
	for _, names := range sets {
		t.Run(strings.Join(names, " and "), func(t *testing.T) {
			t.Cleanup(func() { require.NoError(t, obstacle.Set(context.WithoutCancel(t.Context()), tb)) })
			require.NoError(t, obstacle.Set(t.Context(), tb, names...))
			var want []string
			for _, name := range names {
				want = append(want, string(cause[name]))
			}
			expect(t, tb, want...)
		})
	}
	assertNoTables(t, tb)
	for range 20 {
		t.Run("healthy again", healthy)
	}
	for _, v := range []testbed.Variant{
		{Name: "kube-proxy", DataPath: testbed.DataPathKubeProxy},
		{Name: "dsr", DataPath: testbed.DataPathDSRLab, Mode: services.ModeDSR},
	} {
		t.Run("healthy with "+v.Name, func(t *testing.T) {
			require.NoError(t, tb.Install(t.Context(), v))
			healthy(t)
		})
	}
}

package labs

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// fabricated is a run of a lab on a substrate in which everything was measured as it is expected; short by metric.
func fabricated(t *testing.T, lab *Lab, on topologies.SubstrateKind, short map[string]float64) *results.Run {
	t.Helper()
	plan, err := planOf(lab, on)
	require.NoError(t, err)
	recorder, err := (&Runner{RunsDir: t.TempDir()}).record(lab, plan)
	require.NoError(t, err)
	for _, e := range lab.Spec.Expectations {
		bound := e.AtMost
		if bound == nil {
			bound = e.AtLeast
		}
		value, ok := short[e.Metric]
		if !ok {
			value = *bound
		}
		require.NoError(t, recorder.AddSample(results.Sample{
			Variant: e.Variant, Metric: e.Metric, Labels: e.Labels, Unit: "ratio", Value: value,
		}))
	}
	require.NoError(t, judgeRun(lab, recorder))
	_, err = recorder.Close(results.Passed, "")
	require.NoError(t, err)
	run, err := results.Open(recorder.Dir())
	require.NoError(t, err)
	return run
}

// TestExpectationsOfSubstrate: what is for one substrate only is neither expected nor claimed on another.
func TestExpectationsOfSubstrate(t *testing.T) {
	lab, err := Lookup("01-source-ip")
	require.NoError(t, err)
	netns := fabricated(t, lab, topologies.SubstrateNetns, nil)
	kind := fabricated(t, lab, topologies.SubstrateKindK, nil)

	assert.Equal(t, "netns", netns.Manifest.Substrate)
	assert.Equal(t, []string{"SNAT-1", "SNAT-2", "DSR-1", "DSR-3"}, netns.Manifest.Claims)
	assert.Equal(t, results.Passed, results.Summarize(netns).Result, results.Summarize(netns).Reason())
	assert.Equal(t, "kind", kind.Manifest.Substrate)
	assert.Equal(t, append(netns.Manifest.Claims, "CONF-1"), kind.Manifest.Claims)
	assert.Len(t, kind.Manifest.Expectations, len(netns.Manifest.Expectations)+5)
	assert.Equal(t, results.Passed, results.Summarize(kind).Result, results.Summarize(kind).Reason())
	assert.Equal(t, lab.Claims(), kind.Manifest.Claims)

	assert.Equal(t, "parity: 4 of 4 claims have the same verdict on netns and on kind; 19 of 19 expectations agree",
		results.Compare(netns, kind, 0).Parity.Text)
}

// TestKindClaim: whatever speaks against DSR-1 on kind speaks against CONF-1, and nothing on netns speaks for it.
func TestKindClaim(t *testing.T) {
	lab, err := Lookup("01-source-ip")
	require.NoError(t, err)
	claims, err := results.LoadClaims()
	require.NoError(t, err)
	verdicts := func(runs ...*results.Run) map[string]string {
		var entries []results.Entry
		for _, run := range runs {
			entries = append(entries, results.Entry{Run: run})
		}
		found := make(map[string]string)
		for _, status := range results.ClaimStatuses(claims, entries) {
			found[status.ID] = status.Verdict
		}
		return found
	}
	good := fabricated(t, lab, topologies.SubstrateNetns, nil)
	assert.Equal(t, "reproduced", verdicts(good)["DSR-1"])
	assert.Equal(t, "not measured", verdicts(good)["CONF-1"])
	assert.Equal(t, "reproduced", verdicts(good, fabricated(t, lab, topologies.SubstrateKindK, nil))["CONF-1"])
	judged := make(map[string]bool)
	for _, e := range lab.Spec.Expectations {
		if e.Claims[0] != "DSR-1" || judged[e.Metric] {
			continue
		}
		judged[e.Metric] = true
		bad := verdicts(fabricated(t, lab, topologies.SubstrateKindK, map[string]float64{e.Metric: 0.5}))
		assert.Equal(t, "differs", bad["DSR-1"], e.Metric)
		assert.Equal(t, "differs", bad["CONF-1"], e.Metric)
	}
	assert.Len(t, judged, 3)
}

// TestClaimsAreChecked: each claim is checked by the lab that the list of claims names.
func TestClaimsAreChecked(t *testing.T) {
	claims, err := results.LoadClaims()
	require.NoError(t, err)
	for _, claim := range claims {
		lab, err := Lookup(claim.Lab)
		require.NoError(t, err, claim.ID)
		assert.Contains(t, lab.Claims(), claim.ID)
	}
}

package results_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

func TestParity(t *testing.T) {
	a := fabricate(t, resultstest.Options{Seed: 1})
	b := fabricate(t, resultstest.Options{Seed: 2, Substrate: "kind", Scale: 0.8})
	c := results.Compare(a, b, 0)

	require.NotNil(t, c.Parity)
	assert.True(t, c.Parity.Holds, "however fast it is")
	assert.Equal(t, "parity: 2 of 2 claims have the same verdict on netns and on kind; 4 of 4 expectations agree", c.Parity.Text)
	assert.Empty(t, c.Parity.Reason())
	assert.Equal(t, []results.Condition{{Name: "substrate", A: "netns", B: "kind"}}, c.Conditions)
	assert.Equal(t, []results.ComparedClaim{
		{ID: "THR-1", A: results.Reproduced, B: results.Reproduced, Same: true},
		{ID: "THR-2", A: results.Reproduced, B: results.Reproduced, Same: true},
		{ID: "CONF-1", B: results.Reproduced, Only: "kind"},
	}, c.Claims)
	require.Len(t, c.Parity.Expectations, 5)
	assert.Equal(t, results.ComparedExpectation{
		ID: "snat-capped", Text: "with a deep queue snat stays below 96 Mbit/s", A: results.Held, B: results.Held, Same: true,
	}, c.Parity.Expectations[0])
	only := results.ComparedExpectation{ID: "conf-kind", Text: "the cluster shows the pod the client", B: results.Held, Only: "kind"}
	assert.Equal(t, only, c.Parity.Expectations[4])
	for _, m := range c.Metrics {
		if m.Variant == "dsr" && m.Metric == "payload_rate" {
			assert.InDelta(t, 0.8, *m.Ratio, 0.01)
		}
	}

	back := results.Compare(b, a, 0)
	assert.Equal(t, "parity: 2 of 2 claims have the same verdict on kind and on netns; 4 of 4 expectations agree", back.Parity.Text)
	only.A, only.B = only.B, ""
	assert.Contains(t, back.Parity.Expectations, only)
	assert.Contains(t, back.Claims, results.ComparedClaim{ID: "CONF-1", A: results.Reproduced, Only: "kind"})
}

func TestParityDoesNotHold(t *testing.T) {
	type options = resultstest.Options
	tests := map[string]struct {
		netns, kind  options
		text, reason string
	}{
		"one expectation and its claim": {options{}, options{Break: "dsr-full"},
			"no parity: 1 of 2 claims have the same verdict on netns and on kind; 3 of 4 expectations agree", "THR-2, dsr-full"},
		"an expectation that speaks for no claim": {options{Break: "dsr-bypass"}, options{},
			"no parity: 2 of 2 claims have the same verdict on netns and on kind; 3 of 4 expectations agree", "dsr-bypass"},
		"not run on one": {options{}, options{Skip: "snat-capped"},
			"no parity: 1 of 2 claims have the same verdict on netns and on kind; 3 of 4 expectations agree", "THR-1, snat-capped"},
		"run on neither": {options{Skip: "snat-capped"}, options{Skip: "snat-capped"},
			"no parity: 1 of 2 claims have the same verdict on netns and on kind; 3 of 4 expectations agree", "THR-1, snat-capped"},
		"another expectation of a claim": {options{Break: "snat-capped"}, options{Break: "snat-collapses"},
			"no parity: 2 of 2 claims have the same verdict on netns and on kind; 2 of 4 expectations agree", "snat-capped, snat-collapses"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.kind.Substrate = "kind"
			p := results.Compare(fabricate(t, test.netns), fabricate(t, test.kind), 0).Parity
			assert.False(t, p.Holds)
			assert.Equal(t, test.text, p.Text)
			assert.Equal(t, "not the same on netns and on kind: "+test.reason, p.Reason())
		})
	}
	broken := results.Compare(fabricate(t, options{Break: "dsr-full"}), fabricate(t, options{Break: "dsr-full", Substrate: "kind"}), 0).Parity
	assert.True(t, broken.Holds, "both differ from the slide")
	own := results.Compare(fabricate(t, options{}), fabricate(t, options{Break: "conf-kind", Substrate: "kind"}), 0).Parity
	assert.True(t, own.Holds, "what only kind checks says nothing of netns")
}

// TestParityOfOtherVersions: what one of the runs does not check, although it could, is not the same.
func TestParityOfOtherVersions(t *testing.T) {
	a, b := fabricate(t, resultstest.Options{}), fabricate(t, resultstest.Options{Substrate: "kind"})
	b.Manifest.Claims, b.Manifest.Expectations = b.Manifest.Claims[1:], b.Manifest.Expectations[2:]
	p := results.Compare(a, b, 0).Parity
	assert.Equal(t, "no parity: 1 of 2 claims have the same verdict on netns and on kind; 2 of 4 expectations agree", p.Text)
	assert.Equal(t, []string{"THR-1", "snat-capped", "snat-collapses"}, p.Differing)

	a.Manifest.Claims, a.Manifest.Expectations = nil, nil
	b.Manifest.Claims, b.Manifest.Expectations = b.Manifest.Claims[1:], b.Manifest.Expectations[2:]
	p = results.Compare(a, b, 0).Parity
	assert.Equal(t, "no parity: 0 of 0 claims have the same verdict on netns and on kind; 0 of 0 expectations agree", p.Text)
	assert.Equal(t, "neither run checks anything that the other one does", p.Reason())
}

func TestNoParityToReport(t *testing.T) {
	a, kind := fabricate(t, resultstest.Options{}), fabricate(t, resultstest.Options{Substrate: "kind"})
	old := fabricate(t, resultstest.Options{})
	old.Manifest.Substrate = ""
	assert.Nil(t, results.Compare(a, old, 0).Parity, "runs that name no substrate are on netns")
	assert.Empty(t, results.Compare(a, old, 0).Conditions)
	assert.NotNil(t, results.Compare(old, kind, 0).Parity)
	assert.Nil(t, results.Compare(kind, kind, 0).Parity)
	other := fabricate(t, resultstest.Options{Lab: "01-source-ip"})
	assert.Nil(t, results.Compare(other, kind, 0).Parity, "another lab")
}

func TestExpectationOfAnotherSubstrate(t *testing.T) {
	manifest := resultstest.Manifest(resultstest.Options{Substrate: "kind"})
	manifest.Substrate = ""
	_, err := results.Create(results.Config{Dir: t.TempDir(), Manifest: manifest})
	assert.ErrorContains(t, err, "expectations[4].substrate: is for runs on kind, and this one is on netns")
}

func TestFindOn(t *testing.T) {
	own, reference := t.TempDir(), t.TempDir()
	store := results.Store{Dir: own, Reference: os.DirFS(reference)}
	resultstest.Run(t, reference, resultstest.Options{Run: "ref", Start: at(9)})
	resultstest.Run(t, own, resultstest.Options{Run: "other", Start: at(8), Lab: "01-source-ip"})
	for _, not := range []resultstest.Options{{Run: "open", LeaveOpen: true}, {Run: "broken", Fault: "snat"}} {
		not.Start, not.Substrate = at(7), "kind"
		resultstest.Run(t, own, not)
	}
	run, err := store.FindOn("02-throughput", "netns")
	require.NoError(t, err)
	assert.Equal(t, "ref", run.Manifest.Run)
	_, err = store.FindOn("02-throughput", "kind")
	require.EqualError(t, err, "find run of 02-throughput on kind: none in "+own+" came to its end; make one with: dsrlab lab run 02-throughput --substrate kind")

	for i, id := range []string{"old", "new"} {
		resultstest.Run(t, own, resultstest.Options{Run: id + "-kind", Start: at(2 + i), Substrate: "kind"})
		resultstest.Run(t, own, resultstest.Options{Run: id + "-netns", Start: at(4 + i)})
	}
	for _, substrate := range []string{"netns", "kind"} {
		run, err := store.FindOn("02-throughput", substrate)
		require.NoError(t, err)
		assert.Equal(t, "new-"+substrate, run.Manifest.Run)
	}
}

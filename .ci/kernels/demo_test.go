package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/.ci/kernels/guest"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
)

// demoResult is what the demo prints: all its claims are reproduced, but for those that are given.
func demoResult(t *testing.T, but map[string]results.Verdict) string {
	t.Helper()
	summaries := []results.Summary{{Lab: "01-source-ip", Result: results.Passed}, {Lab: "02-throughput", Result: results.Passed}}
	for i, id := range demoClaims() {
		c := results.ClaimVerdict{ID: id, Verdict: results.Reproduced, Evidence: "evidence for " + id}
		if v, ok := but[id]; ok {
			c.Verdict = v
		}
		if c.Verdict != "" {
			s := &summaries[2*i/len(demoClaims())]
			if c.Verdict != results.Reproduced {
				s.Result = results.Failed
			}
			s.Claims = append(s.Claims, c)
		}
	}
	text, err := json.Marshal(summaries)
	require.NoError(t, err)
	return string(text)
}

func TestDemoVerdict(t *testing.T) {
	const story = "This machine carries 0.5 Gbit/s now: all rates are divided\nby 5.\n"
	for _, test := range []struct {
		name string
		run  guest.Run
		want verdict
	}{
		{"passed", guest.Run{Ended: true, Output: []byte(story), Result: demoResult(t, nil)}, verdict{passed: 6, demo: "6 of 6, scale 1/5"}},
		{"differs, and one has no verdict", guest.Run{
			Ended: true, Status: 1, Output: []byte("a story\n"), Result: demoResult(t, map[string]results.Verdict{"SNAT-2": "", "THR-1": results.Differs}),
		}, verdict{passed: 4, demo: "4 of 6, scale 1", failures: []finding{
			{demoName, "SNAT-2 has no verdict", ""}, {demoName, "THR-1: differs", "evidence for THR-1\na story"},
		}}},
		{"differs where the machine is too slow", guest.Run{
			Ended: true, Status: 1, Output: []byte("This machine carries 43.8 Mbit/s now, which is less than the\n    lab asks for, although all rates are divided by 20.\n"),
			Result: demoResult(t, map[string]results.Verdict{"THR-2": results.Differs}),
		}, verdict{passed: 5, demo: "5 of 6, scale 1/20", skipped: []finding{
			{demoName, "THR-2: differs, on a machine that carries less than it asks for", "evidence for THR-2"},
		}}},
		{"differs where the machine is too slow, and a lab was not taken down", guest.Run{
			Ended: true, Status: 1, Output: []byte("This machine carries 1 Mbit/s now, which is less than the lab asks for.\n"),
			Result: strings.Replace(demoResult(t, map[string]results.Verdict{"THR-2": results.Differs}), `"passed"`, `"failed"`, 1),
		}, verdict{passed: 5, demo: "5 of 6, scale 1", skipped: []finding{
			{demoName, "THR-2: differs, on a machine that carries less than it asks for", "evidence for THR-2"},
		}, failures: []finding{{demoName, "exit status 1", "This machine carries 1 Mbit/s now, which is less than the lab asks for."}}}},
		{"differs, but not for the rates", guest.Run{
			Ended: true, Status: 1, Output: []byte("This machine carries 1 Mbit/s now, which is less than the lab asks for.\n"),
			Result: demoResult(t, map[string]results.Verdict{"DSR-1": results.Differs}),
		}, verdict{passed: 5, demo: "5 of 6, scale 1", failures: []finding{
			{demoName, "DSR-1: differs", "evidence for DSR-1\nThis machine carries 1 Mbit/s now, which is less than the lab asks for."},
		}}},
		{"exit status", guest.Run{Ended: true, Status: 4, Output: []byte(story), Result: demoResult(t, nil)},
			verdict{passed: 6, demo: "6 of 6, scale 1/5", failures: []finding{
				{demoName, "exit status 4", "This machine carries 0.5 Gbit/s now: all rates are divided\nby 5."},
			}}},
		{"no result", guest.Run{Ended: true, Status: 3, Output: []byte("dsrlab: no sch_tbf\n")},
			verdict{failures: []finding{{demoName, "no summaries, exit status 3", "dsrlab: no sch_tbf"}}}},
		{"machine ended", guest.Run{Output: []byte("begun\n")}, verdict{failures: []finding{{demoName, "did not end", "begun"}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var v verdict
			test.run.Package = demoName
			v.addDemo(test.run)
			assert.Equal(t, test.want, v)
		})
	}
}

func TestScaleOf(t *testing.T) {
	for story, want := range map[string]string{
		"": "1",
		"As asked for, all rates are divided by 2.":                                      "1/2",
		"all rates are divided by 5.\nthe lab starts over with all rates\ndivided by 10": "1/10",
	} {
		assert.Equal(t, want, scaleOf([]byte(story)), story)
	}
}

// TestDemoClaims holds the list against what the demo's labs check on namespaces.
func TestDemoClaims(t *testing.T) {
	var all []string
	for _, name := range []string{"01-source-ip", "02-throughput"} {
		lab, err := labs.Lookup(name)
		require.NoError(t, err)
		all = append(all, lab.Claims()...)
	}
	assert.Subset(t, all, demoClaims())
}

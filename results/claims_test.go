package results_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/resultstest"
)

// TestAllClaims holds claims.yaml against the list of what the talk claims, with the slides that say it.
func TestAllClaims(t *testing.T) {
	want := map[string]string{
		"SNAT-1": "4, 5", "SNAT-2": "5, 20",
		"LOCAL-1": "7, 8", "LOCAL-2": "8, 9", "LOCAL-3": "9", "LOCAL-4": "9",
		"XFF-1": "10", "XFF-2": "10", "XFF-3": "10", "PP-1": "11", "PP-2": "11", "TABLE-1": "12, 21",
		"DSR-1": "14, 15, 16, 17", "DSR-2": "13, 16, 17", "DSR-3": "16, 20", "DSR-4": "14, 21", "VIEW-1": "19", "VIEW-2": "19",
		"NLB-1": "16", "NLB-2": "16", "NLB-3": "16", "NLB-4": "16", "THR-1": "23", "THR-2": "24",
		"AI-1": "25", "AI-2": "26", "N1-1": "27", "N1-2": "27, 28", "WHEN-1": "31",
		"WHY-1": "3", "WHY-2": "3", "WHY-3": "3", "WHY-4": "3", "WHY-5": "3", "WHY-6": "3", "CONF-1": "15, 18",
	}
	claims, err := results.LoadClaims()
	require.NoError(t, err)
	got := map[string]string{}
	for _, claim := range claims {
		got[claim.ID] = claim.Slide()
	}
	assert.Equal(t, want, got)
}

// TestClaimsMeetTheirLabs holds the lab of each claim against the list of labs, by the groups of ids that each measures.
func TestClaimsMeetTheirLabs(t *testing.T) {
	labs := map[string]string{
		"SNAT-": "01-source-ip", "DSR-1": "01-source-ip", "CONF-": "01-source-ip", "THR-": "02-throughput",
		"LOCAL-": "03-local-policy", "XFF-": "04-l7-headers", "PP-": "05-proxy-protocol",
		"DSR-2": "06-dsr-packet-walk", "DSR-3": "06-dsr-packet-walk", "DSR-4": "06-dsr-packet-walk", "VIEW-": "06-dsr-packet-walk",
		"TABLE-": "07-full-picture", "N1-": "08-oversubscription", "AI-": "09-ai-inference", "NLB-": "10-nlb-and-bgp",
		"WHY-": "11-why-it-matters", "WHEN-": "12-when-snat-is-fine",
	}
	claims, err := results.LoadClaims()
	require.NoError(t, err)
	for _, claim := range claims {
		lab := ""
		for prefix, of := range labs {
			if strings.HasPrefix(claim.ID, prefix) {
				lab = of
			}
		}
		assert.Equal(t, lab, claim.Lab, claim.ID)
	}
}

func TestClaimsWithoutLab(t *testing.T) {
	claims := results.Claims{{ID: "SNAT-1", Lab: "01-source-ip"}, {ID: "NLB-1", Lab: "10-nlb-and-bgp"}, {ID: "NLB-2", Lab: "10-nlb-and-bgp"}}
	assert.Equal(t, claims[1:], claims.WithoutLab([]string{"01-source-ip", "02-throughput"}))
	assert.Empty(t, claims.WithoutLab([]string{"01-source-ip", "10-nlb-and-bgp"}))
	assert.Len(t, claims, 3)
	assert.Equal(t, "SNAT-1", claims[0].ID, "the list itself stays")
}

func TestVerdictInWords(t *testing.T) {
	for verdict, want := range map[results.Verdict]string{
		results.Reproduced: "reproduced", results.Differs: "differs", results.NotMeasured: "not measured",
	} {
		assert.Equal(t, want, verdict.Words())
	}
}

func TestParseClaimsRefuses(t *testing.T) {
	const head = "apiVersion: dsrlab.dev/v1alpha1\nkind: Claims\n"
	const good = "  - {id: SNAT-1, slides: [4, 5], text: A., measured: B., expectation: C., lab: 01-source-ip, variant: snat}\n"
	tests := map[string]struct{ yaml, want string }{
		"empty":          {"", "parse x.yaml: is empty"},
		"no claims":      {head, "x.yaml: claims: none"},
		"another kind":   {"apiVersion: v1\nkind: Pod\nclaims:\n" + good, "x.yaml: apiVersion: \"v1\", want dsrlab.dev/v1alpha1\nx.yaml: kind: \"Pod\", want Claims"},
		"unknown field":  {head + "claims:\n" + strings.Replace(good, "variant", "variants", 1), "parse x.yaml: yaml: unmarshal errors:\n  line 4: field variants not found in type results.Claim"},
		"two documents":  {head + "claims:\n" + good + "---\na: b\n", "x.yaml: holds more than one document, want one"},
		"twice":          {head + "claims:\n" + good + good, "x.yaml: claims[1] (SNAT-1): id: SNAT-1 is there twice"},
		"claims no lab":  {head + "claims:\n" + strings.Replace(good, "01-source-ip", `""`, 1), `x.yaml: claims[0] (SNAT-1): lab: "", want the folder name of a lab, as in 01-source-ip`},
		"falling slides": {head + "claims:\n" + strings.Replace(good, "[4, 5]", "[5, 4]", 1), "x.yaml: claims[0] (SNAT-1): slides: 5, 4, want numbers from 1 that rise"},
		"all at once": {head + "claims:\n  - {id: snat1}\n", `x.yaml: claims[0] (snat1): id: "snat1", want capitals, a dash and a number, as in SNAT-1
x.yaml: claims[0] (snat1): slides: none
x.yaml: claims[0] (snat1): text: "", want a sentence
x.yaml: claims[0] (snat1): measured: "", want a sentence
x.yaml: claims[0] (snat1): expectation: "", want a sentence
x.yaml: claims[0] (snat1): lab: "", want the folder name of a lab, as in 01-source-ip
x.yaml: claims[0] (snat1): variant: is empty`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := results.ParseClaims([]byte(test.yaml), "x.yaml")
			require.EqualError(t, err, test.want)
		})
	}
	_, err := results.ParseClaims([]byte(head+"claims:\n"+good), "x.yaml")
	require.NoError(t, err)
}

func at(hour int) time.Time { return time.Date(2001, 2, 3, hour, 0, 0, 0, time.UTC) }

func TestClaimStatuses(t *testing.T) {
	own, reference := t.TempDir(), t.TempDir()
	resultstest.Run(t, reference, resultstest.Options{Run: "ref", Start: at(9), Break: "dsr-full"})
	store := results.Store{Dir: own, Reference: os.DirFS(reference)}
	status := func(id string) results.ClaimStatus {
		t.Helper()
		entries, err := store.List()
		require.NoError(t, err)
		claims, err := results.LoadClaims()
		require.NoError(t, err)
		statuses := results.ClaimStatuses(claims, entries)
		require.Len(t, statuses, len(claims))
		for _, s := range statuses {
			if s.ID == id {
				return s
			}
		}
		t.Fatalf("claim %s is not listed", id)
		return results.ClaimStatus{}
	}
	check := func(id string, verdict results.Verdict, run string) {
		t.Helper()
		got := status(id)
		assert.Equal(t, verdict.Words(), got.Verdict)
		assert.Equal(t, run, got.Run)
	}
	check("NLB-1", results.NotMeasured, "")
	check("THR-2", results.Differs, "ref")

	resultstest.Run(t, own, resultstest.Options{Run: "old", Start: at(1)})
	check("THR-2", results.Reproduced, "old") // a run from here comes before a newer reference run

	resultstest.Run(t, own, resultstest.Options{Run: "new", Start: at(2), Skip: "dsr-full"})
	check("THR-2", results.NotMeasured, "new") // the latest counts, good or bad
	check("THR-1", results.Reproduced, "new")

	resultstest.Run(t, own, resultstest.Options{Run: "open", Start: at(3), LeaveOpen: true})
	check("THR-1", results.Reproduced, "new") // an unfinished run says nothing

	resultstest.Run(t, own, resultstest.Options{Run: "stopped", Start: at(3), Interrupted: true, Break: "snat-capped"})
	check("THR-1", results.Reproduced, "new") // nor does one that was interrupted

	resultstest.Run(t, own, resultstest.Options{Run: "broken", Start: at(4), Fault: "snat", Break: "dsr-full"})
	check("THR-2", results.NotMeasured, "new") // nor does one that was broken on purpose

	resultstest.Run(t, own, resultstest.Options{Run: "other", Lab: "08-oversubscription", Start: at(1), Break: "snat-capped"})
	check("THR-1", results.Differs, "other") // an older run of another lab that disagrees is not hidden
	check("CONF-1", results.NotMeasured, "") // nothing on netns speaks for it

	resultstest.Run(t, own, resultstest.Options{Run: "cluster", Start: at(5), Substrate: "kind", Break: "dsr-full"})
	resultstest.Run(t, own, resultstest.Options{Run: "later", Start: at(6)})
	check("CONF-1", results.Reproduced, "cluster")
	check("THR-2", results.Differs, "cluster") // nor is one on another substrate

	resultstest.Run(t, own, resultstest.Options{Run: "cluster-again", Start: at(7), Substrate: "kind", Break: "conf-kind"})
	check("CONF-1", results.Differs, "cluster-again")
}

func TestStoreFind(t *testing.T) {
	own, reference := t.TempDir(), t.TempDir()
	resultstest.Run(t, reference, resultstest.Options{Run: "ref-1", Start: at(9)})
	resultstest.Run(t, own, resultstest.Options{Run: "day1-a", Start: at(1)})
	path := resultstest.Run(t, own, resultstest.Options{Run: "day1-b", Start: at(2), Lab: "01-source-ip"})
	require.NoError(t, os.Mkdir(filepath.Join(own, "broken"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(own, "broken", "manifest.json"), []byte("{"), 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(own, "notes"), 0o755))
	for _, dir := range []string{own, reference} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "robustness.json"), []byte("{}"), 0o644))
	}
	store := results.Store{Dir: own, Reference: os.DirFS(reference)}

	for name, want := range map[string]string{
		"day1-a": "day1-a", "day1-b": "day1-b", "ref": "ref-1", "latest": "day1-b",
		"02-throughput": "day1-a", "01-source-ip": "day1-b", path: "day1-b", "02": "day1-a", "01-": "day1-b",
	} {
		run, err := store.Find(name)
		require.NoError(t, err, name)
		assert.Equal(t, want, run.Manifest.Run, name)
	}
	// Of the reference runs, a lab's name means one on namespaces where there is one; of one's own, the latest.
	resultstest.Run(t, reference, resultstest.Options{Run: "ref-2", Start: at(10), Substrate: "kind"})
	resultstest.Run(t, reference, resultstest.Options{Run: "ref-3", Start: at(10), Lab: "07-full-picture", Substrate: "kind"})
	for name, want := range map[string]string{"02-throughput": "ref-1", "07-full-picture": "ref-3", "latest": "ref-2"} {
		run, err := results.Store{Reference: os.DirFS(reference)}.Find(name)
		require.NoError(t, err, name)
		assert.Equal(t, want, run.Manifest.Run, name)
	}
	resultstest.Run(t, own, resultstest.Options{Run: "day2", Start: at(3), Substrate: "kind"})
	run, err := store.Find("02-throughput")
	require.NoError(t, err)
	assert.Equal(t, "day2", run.Manifest.Run)

	_, err = store.Find("day1")
	require.EqualError(t, err, `find run "day1": 2 runs begin like this: day1-b, day1-a`)
	_, err = store.Find("0")
	require.EqualError(t, err, `find run "0": the names of 3 labs begin like this: 01-source-ip, 02-throughput, 07-full-picture`)
	_, err = store.Find("nope")
	require.EqualError(t, err, `find run "nope": none in `+own+` has this id, and no lab of this name was run; dsrlab results list shows the runs`)
	_, err = store.Find("broken")
	require.EqualError(t, err, "read run "+own+"/broken: manifest.json: unexpected end of JSON input")

	entries, err := store.List()
	require.NoError(t, err)
	assert.Len(t, entries, 7, "the broken one is listed; a folder that is no run, and a file, are not")

	entries, err = results.Store{Dir: filepath.Join(own, "missing")}.List()
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// What was interrupted, or is still running, never stands in for a run that came to its end: only its own name finds it.
func TestFindFinished(t *testing.T) {
	own, reference := t.TempDir(), t.TempDir()
	store := results.Store{Dir: own, Reference: os.DirFS(reference)}
	find := func(name, want string) {
		t.Helper()
		run, err := store.Find(name)
		require.NoError(t, err)
		assert.Equal(t, want, run.Manifest.Run)
	}
	resultstest.Run(t, own, resultstest.Options{Run: "stopped", Start: at(3), Interrupted: true, Reported: results.Untested, Reason: "interrupted"})
	find("02-throughput", "stopped") // there is no other
	find("latest", "stopped")
	resultstest.Run(t, reference, resultstest.Options{Run: "ref", Start: at(1), Substrate: "kind"})
	find("02-throughput", "ref")
	find("latest", "ref")
	resultstest.Run(t, own, resultstest.Options{Run: "whole", Start: at(2)})
	resultstest.Run(t, own, resultstest.Options{Run: "open", Start: at(4), LeaveOpen: true})
	find("02-throughput", "whole")
	find("latest", "whole")
	find("stopped", "stopped")
	find("open", "open")
	run, err := store.FindOn("02-throughput", "netns")
	require.NoError(t, err)
	assert.Equal(t, "whole", run.Manifest.Run)
}

// TestReference reads what is committed under results/reference.
func TestReference(t *testing.T) {
	entries, err := results.Store{Reference: results.Reference()}.List()
	require.NoError(t, err)
	for _, entry := range entries {
		assert.NoError(t, entry.Err, entry.Name)
	}
}

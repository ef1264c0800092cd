package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
)

// runClaims runs dsrlab results claims with a catalogue of labs.
func runClaims(dir string, catalogue []string, args ...string) (stdout string, err error) {
	var out bytes.Buffer
	store := func() results.Store { return results.Store{Dir: dir, Reference: results.Reference()} }
	command := newResultsClaimsCommand(streams{out: &out, err: &out}, store, func() ([]string, error) { return catalogue, nil })
	command.SilenceUsage, command.SilenceErrors = true, true
	command.SetArgs(args)
	err = command.Execute()
	return out.String(), err
}

func TestResultsClaims(t *testing.T) {
	dir := fabricatedRuns(t)
	claims, err := results.LoadClaims()
	require.NoError(t, err)
	var all []string
	for _, claim := range claims {
		all = append(all, claim.Lab)
	}
	stdout, err := runClaims(dir, all, "-o", "json")
	require.NoError(t, err, "a claim that differs or was not measured is no error")
	var rows []map[string]any
	require.NoError(t, json.Unmarshal([]byte(stdout), &rows))
	assert.Len(t, rows, len(claims))
	assert.Contains(t, rows, map[string]any{
		"id": "THR-2", "slide": "24", "lab": "02-throughput", "variant": "dsr", "verdict": "differs", "run": "two",
		"headlines": []any{"made up by a test: dsr-full did not hold <&>"},
	})
	assert.Contains(t, rowOf(t, rows, "CONF-1")["run"], "-01-source-ip-", "the reference run on kind, which alone can say it")
	fromReference := rowOf(t, rows, "SNAT-1")
	assert.Contains(t, fromReference["run"], "-01-source-ip-", "nothing newer is there")
	assert.NotEqual(t, "not measured", fromReference["verdict"])

	stdout, err = runClaims(dir, all)
	require.NoError(t, err)
	assert.Contains(t, squeezed(stdout), "\nTHR-1 reproduced made up by a test: snat-capped held; made up by a test: snat-collapses held\nTHR-2 differs made up")
	assert.Contains(t, stdout, "34 of 36 verdicts come from the reference runs")

	stdout, err = runClaims(dir, all, "--verbose")
	require.NoError(t, err)
	assert.Contains(t, squeezed(stdout), "THR-1 reproduced With client and pod node on 1 Gbit/s and the LB node on 100 Mbit/s, SNAT")
	assert.Contains(t, squeezed(stdout), "slide 23, lab 02-throughput, snat\n run two\n")
	assert.Contains(t, stdout, fromReference["run"].(string)+" (reference)")
}

func rowOf(t *testing.T, rows []map[string]any, id string) map[string]any {
	t.Helper()
	for _, row := range rows {
		if row["id"] == id {
			return row
		}
	}
	require.Fail(t, "claim is not listed", id)
	return nil
}

func TestClaimsWithoutLab(t *testing.T) {
	stdout, err := runClaims(t.TempDir(), []string{
		"01-source-ip", "02-throughput", "03-local-policy", "04-l7-headers", "06-dsr-packet-walk", "07-full-picture", "08-oversubscription",
		"09-ai-inference", "10-nlb-and-bgp", "11-why-it-matters",
	}, "-o", "json")
	var exit *exitError
	require.True(t, errors.As(err, &exit))
	assert.Equal(t, exitFailed, exit.code)
	assert.EqualError(t, err, "claims without a lab that checks them: PP-1 (05-proxy-protocol), PP-2 (05-proxy-protocol), WHEN-1 (12-when-snat-is-fine)")
	assert.True(t, json.Valid([]byte(stdout)), "the list is printed all the same")
}

// TestClaimsOfCatalogue runs the command with the labs that there are.
func TestClaimsOfCatalogue(t *testing.T) {
	claims, err := results.LoadClaims()
	require.NoError(t, err)
	names, err := labs.Catalogue()
	require.NoError(t, err)
	want := exitOK
	if missing := claims.WithoutLab(names); len(missing) > 0 {
		want = exitFailed
	}
	stdout, stderr, code := runResults(t, "claims", "--runs", t.TempDir())
	assert.Equal(t, want, code, stderr)
	assert.Equal(t, want == exitFailed, strings.Contains(stderr, "claims without a lab"), stderr)
	for _, claim := range claims {
		assert.Contains(t, stdout, claim.ID)
	}
}

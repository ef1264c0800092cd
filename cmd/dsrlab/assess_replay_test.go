package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/assess"
)

// A load that is given in a file is predicted for, in place of the observations' own.
func TestAssessProfile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "load.yaml")
	write := func(document string) { require.NoError(t, os.WriteFile(file, []byte(document), 0o644)) }
	write("{name: shop, requestsPerSecond: 1000, requestBytes: 500, replyBytes: 20000, entry: {a: 1}}")
	code, out, _ := command(t, "assess", "--from", observedFile, "--profile", file, "-o", "json")
	assert.Equal(t, exitFailed, code)
	var r assess.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.NotNil(t, r.Prediction)
	assert.Equal(t, "shop", r.Prediction.Profile.Name)
	assert.Nil(t, r.Replay)

	for document, want := range map[string]string{
		"{requestsPerSecond: 1}": "dsrlab: --profile: " + file + ": profile.",
		"{requests: 1}":          "dsrlab: --profile: " + file + ": read profile: ",
	} {
		write(document)
		code, out, stderr := command(t, "assess", "--from", observedFile, "--profile", file)
		assert.Equal(t, exitUsage, code)
		assert.Empty(t, out)
		assert.Contains(t, stderr, want)
	}
	write("{requestsPerSecond: 1, requestBytes: 1, replyBytes: 1, pods: {x: 1}}")
	code, _, stderr := command(t, "assess", "--from", observedFile, "--profile", file)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, `dsrlab: --profile: profile.pods: unknown node "x" (want one of nodes)`)
}

// Without a load nothing is built, and the report is there all the same.
func TestAssessReplayNeedsLoad(t *testing.T) {
	if os.Geteuid() != 0 {
		code, _, stderr := command(t, "assess", "--from", observedFile, "--replay")
		assert.Equal(t, exitUnsupported, code)
		assert.Contains(t, stderr, "replaying a load needs root")
		return
	}
	o, err := assess.Read(observedFile)
	require.NoError(t, err)
	o.Profile, o.Counters = nil, nil
	data, err := o.JSON()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "observed.json")
	require.NoError(t, os.WriteFile(file, data, 0o644))
	code, out, stderr := command(t, "assess", "--from", file, "--replay", "--wait")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, out, "Would DSR work on shop?")
	assert.Contains(t, stderr, "--replay: nothing to replay: there is no profile, and no counters of all nodes to make one from (want --profile FILE)")
}

// A testbed that a replay leaves is named, in the place of what the assessment of a cluster has left.
func TestMustUndoReplay(t *testing.T) {
	var u undo
	ctx := context.WithValue(t.Context(), undoKey{}, &u)
	undoBy(ctx, "namespace x, which removes itself")
	require.NoError(t, mustUndoReplay(ctx))
	assert.True(t, u.needed)
	assert.Equal(t, "it leaves testbed assess-replay: dsrlab down --name assess-replay", u.remains())
}

package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs"
)

func TestParseRecorded(t *testing.T) {
	from, err := parseRecorded("busy-2=runs/busy")
	require.NoError(t, err)
	assert.Equal(t, recorded{disturbance{name: "busy-2", loops: 2}, "runs/busy"}, from)
	for text, want := range map[string]string{
		"runs/busy":  `found "runs/busy" (want DISTURBANCE=FOLDER)`,
		"none=":      `found "none=" (want DISTURBANCE=FOLDER)`,
		"noisy=runs": `unknown disturbance "noisy" (want none, busy-N, busy-all or one-cpu)`,
	} {
		_, err := parseRecorded(text)
		assert.EqualError(t, err, want, text)
	}
}

// A recorded run is judged as one that was just made; runs of labs that nobody asked for are left out.
func TestJudgeRecorded(t *testing.T) {
	reference, err := filepath.Glob("../../results/reference/*-02-throughput-*")
	require.NoError(t, err)
	require.NotEmpty(t, reference)
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(folder, filepath.Base(reference[0])), os.DirFS(reference[0])))

	o := options{labs: []*labs.Lab{throughput(t)}, recorded: []recorded{{disturbance{name: "none"}, folder}, {disturbance{name: "none"}, folder}}}
	r, err := o.judgeRecorded(io.Discard)
	require.NoError(t, err)
	require.Len(t, r.Runs, 2)
	assert.Equal(t, filepath.Base(reference[0]), r.Runs[0].Run)
	assert.Positive(t, r.Runs[0].Seconds)
	assert.NotZero(t, r.Summary.Expectations)
	require.Len(t, r.Summary.Disturbances, 1)
	assert.Equal(t, 2, r.Summary.Disturbances[0].Runs)

	other, err := labs.Lookup("01-source-ip")
	require.NoError(t, err)
	o.labs = []*labs.Lab{other}
	r, err = o.judgeRecorded(io.Discard)
	require.NoError(t, err)
	assert.Empty(t, r.Runs)

	require.NoError(t, os.Mkdir(filepath.Join(folder, "empty"), 0o755))
	_, err = o.judgeRecorded(io.Discard)
	assert.ErrorContains(t, err, "read recorded run: ")
	o.recorded[0].folder = filepath.Join(folder, "missing")
	_, err = o.judgeRecorded(io.Discard)
	assert.ErrorContains(t, err, "list recorded runs: ")
}

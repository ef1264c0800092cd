package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onlyReading are command lines that print something and need no root.
func onlyReading(t *testing.T) [][]string {
	dir := t.TempDir()
	all := [][]string{
		{"--help"}, {"--version"}, {"lab"}, {"completion", "bash"},
		{"topology", "list"}, {"topology", "list", "-o", "json"}, {"topology", "list", "-o", "yaml"}, {"topology", "show", "talk"},
		{"topology", "validate", "../../topologies/talk.yaml"}, {"topology", "graph", "talk"}, {"topology", "graph", "talk", "--format", "svg"},
		{"lab", "list"}, {"lab", "show", "01"}, {"lab", "new", "99-a", "--dir", dir},
		{"results", "list"}, {"results", "list", "-o", "json"}, {"results", "show", "01-source-ip"}, {"results", "claims"}, {"results", "table"},
		{"results", "compare", "01-source-ip", "--across", "netns,kind"}, {"results", "report", "01-source-ip"}, {"results", "report", "01-source-ip", "--format", "html"},
		{"results", "report", "02-throughput", "--format", "png"}, {"results", "report", "01-source-ip", "--format", "csv"}, {"results", "report", "01-source-ip", "--format", "junit"},
		{"workshop"}, {"workshop", "show", "01-source-ip/whose"}, {"status", "--state-dir", dir},
	}
	for i, args := range all {
		if args[0] == "results" {
			all[i] = append(args, "--dir", dir)
		}
	}
	return all
}

// What can't be written is an error of every command, whatever it prints with.
func TestFullDisk(t *testing.T) {
	for _, args := range onlyReading(t) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		require.NoError(t, err)
		var stderr bytes.Buffer
		code := run(t.Context(), args, streams{in: strings.NewReader(""), out: full, err: &stderr})
		assert.Equal(t, exitFailed, code, args)
		assert.Equal(t, "dsrlab: write standard output: no space left on device\n", stderr.String(), args)
		require.NoError(t, full.Close())
	}
}

// Who prints into a pipe that is closed, as head does when it has seen enough, ends without a word.
func TestBrokenPipe(t *testing.T) {
	for _, args := range onlyReading(t) {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		require.NoError(t, r.Close())
		var stderr bytes.Buffer
		code := run(t.Context(), args, streams{in: strings.NewReader(""), out: w, err: &stderr})
		assert.Equal(t, 141, code, args)
		assert.Empty(t, stderr.String(), args)
		require.NoError(t, w.Close())
	}
}

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/capture"
)

// TestDissectorFlag: the dissector is there without root and without a testbed.
func TestDissectorFlag(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dsr.lua")
	code, out, stderr := command(t, "capture", "--dissector", file)
	require.Equal(t, exitOK, code, stderr)
	assert.Empty(t, out)
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, capture.Dissector, string(written))

	code, out, _ = command(t, "capture", "--dissector", "-")
	assert.Equal(t, exitOK, code)
	assert.Equal(t, capture.Dissector, out)

	code, _, _ = command(t, "capture", "lb", "--dissector", file)
	assert.Equal(t, exitUsage, code, "a node is for a capture")
}

package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestUpToDate: labs/STEPS.md is what `go generate ./labs` makes.
func TestUpToDate(t *testing.T) {
	want, err := reference("..")
	require.NoError(t, err)
	got, err := os.ReadFile("../STEPS.md")
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got), "run go generate ./labs")
}

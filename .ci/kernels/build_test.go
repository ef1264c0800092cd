package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestListTests(t *testing.T) {
	all, err := listTests(t.Context(), []string{"./guest", "./init"})
	require.NoError(t, err)
	require.Len(t, all, 1, "init has no tests")
	assert.Equal(t, all[0].Module.Path+"/.ci/kernels/guest", all[0].ImportPath)
	_, err = listTests(t.Context(), []string{"./init"})
	assert.EqualError(t, err, "no package with tests matches ./init")
	_, err = listTests(t.Context(), []string{"./nosuch"})
	assert.ErrorContains(t, err, "nosuch: directory not found")
}

func TestTestEvents(t *testing.T) {
	stream, err := testEvents(t.Context(), []byte("\x16=== RUN   TestA\n    a_test.go:1: hello\n\x16--- SKIP: TestA (0.00s)\n\x16=== NAME  \n\x16PASS\n"))
	require.NoError(t, err)
	all, err := parseEvents(stream)
	require.NoError(t, err)
	var actions []string
	for _, e := range all {
		if e.Action != "output" {
			actions = append(actions, e.Action+" "+e.Test)
		}
	}
	assert.Equal(t, []string{"start ", "run TestA", "skip TestA", "pass "}, actions)
	assert.Contains(t, all, says("TestA", "    a_test.go:1: hello\n"))
}

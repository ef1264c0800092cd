package netns

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies/lockfile"
)

func TestLock(t *testing.T) {
	requireRoot(t)
	dir, tried := t.TempDir(), 0
	t.Cleanup(func() { require.NoError(t, Down(context.Background(), dir, "test-lock", nil)) })
	_, err := Up(t.Context(), talk(t), Options{StateDir: dir, Name: "test-lock", OnStep: func(string) {
		tried++
		_, err := Up(t.Context(), talk(t), Options{StateDir: dir, Name: "test-lock"})
		assertHeld(t, err)
		assertHeld(t, Down(t.Context(), dir, "test-lock", nil))
		list, err := List(dir)
		require.NoError(t, err)
		require.Len(t, list, 1)
		assert.Equal(t, "test-lock", list[0].Name)
		require.NotNil(t, list[0].Holder)
		assert.Equal(t, os.Getpid(), list[0].Holder.PID)
	}})
	require.NoError(t, err)
	assert.Greater(t, tried, 5)
	assert.NoFileExists(t, lockPath(dir, "test-lock"))
}

// assertHeld asserts that an error says that this process has a lock.
func assertHeld(t *testing.T, err error) {
	t.Helper()
	var held *lockfile.HeldError
	if assert.ErrorAs(t, err, &held) {
		assert.Equal(t, "testbed test-lock is in use", held.What)
		assert.Equal(t, os.Getpid(), held.Holder.PID)
	}
}

// A lock that the caller holds goes on after Up, and keeps others from what the caller does next.
func TestLockOutlivesUp(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	lock, err := Acquire(t.Context(), dir, "test-lock", nil)
	require.NoError(t, err)
	nw, err := Up(t.Context(), talk(t), Options{StateDir: dir, Name: "test-lock", Lock: lock})
	require.NoError(t, err)
	assertHeld(t, Down(t.Context(), dir, "test-lock", nil))
	_, err = Up(t.Context(), talk(t), Options{StateDir: dir, Name: "test-lock"})
	assertHeld(t, err)
	require.NoError(t, nw.Down(t.Context(), nil), "who holds it may")
	assertHeld(t, Down(t.Context(), dir, "test-lock", nil))
	lock.Release()
	lock.Release()
	require.NoError(t, Down(t.Context(), dir, "test-lock", nil))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

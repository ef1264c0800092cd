package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/cmd/internal/interrupt"
)

// A command that waits for its input ends all the same when it is interrupted.
func TestInterruptedRead(t *testing.T) {
	never, writer := io.Pipe()
	defer writer.Close()
	for _, args := range [][]string{{"topology", "validate", "-"}, {"topology", "show", "-"}} {
		for s, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(&interrupt.Error{Signal: s})
			var out, stderr bytes.Buffer
			ended := make(chan int, 1)
			go func() { ended <- run(ctx, args, streams{in: never, out: &out, err: &stderr}) }()
			select {
			case got := <-ended:
				assert.Equal(t, code, got, args)
			case <-time.After(time.Minute):
				require.Fail(t, "it goes on", "%v", args)
			}
			assert.Empty(t, out.String())
			assert.Empty(t, stderr.String())
		}
	}
}

func TestUndo(t *testing.T) {
	interrupted, cancel := context.WithCancelCause(t.Context())
	var u undo
	ctx := context.WithValue(interrupted, undoKey{}, &u)
	require.NoError(t, mustUndo(ctx))
	done := make(chan struct{})
	cancel(&interrupt.Error{Signal: syscall.SIGTERM})
	var stderr bytes.Buffer
	time.AfterFunc(endTimeout+100*time.Millisecond, func() { close(done) })
	assert.True(t, u.await(ctx, done, &stderr), "what must be undone is waited for")
	assert.Contains(t, stderr.String(), "interrupted by SIGTERM: cleaning up (Ctrl-C ends it at once; what it leaves, dsrlab down removes)")
	undoBy(ctx, "namespace x, which removes itself")
	assert.Equal(t, "it leaves namespace x, which removes itself", u.remains())
	require.ErrorContains(t, mustUndo(ctx), "interrupted by SIGTERM", "nothing is begun after that")

	var late undo
	assert.True(t, late.tooLate())
	assert.ErrorIs(t, mustUndo(context.WithValue(t.Context(), undoKey{}, &late)), context.Canceled)
}

func TestBesidesInterruption(t *testing.T) {
	stopped := fmt.Errorf("build talk: %w", &interrupt.Error{Signal: syscall.SIGINT})
	other := errors.New("take down talk: a process does not end")
	require.NoError(t, besidesInterruption(nil))
	require.NoError(t, besidesInterruption(stopped))
	require.NoError(t, besidesInterruption(errors.Join(stopped, context.Canceled)))
	assert.EqualError(t, besidesInterruption(errors.Join(stopped, other)), other.Error())
	assert.Equal(t, other, besidesInterruption(other))
}

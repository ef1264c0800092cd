package ui

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWait: a change is read a fifth of the interval later, also the first of several, and a whole interval is read after it.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(nil, time.Second)
		tick := time.NewTicker(h.interval)
		defer tick.Stop()
		begun := time.Now()
		next := func() time.Duration {
			require.True(t, h.wait(t.Context(), tick))
			return time.Since(begun)
		}
		assert.Equal(t, time.Second, next())
		for _, after := range []time.Duration{500, 600, 650} {
			time.AfterFunc(after*time.Millisecond, h.noteChange)
		}
		assert.Equal(t, 1700*time.Millisecond, next())
		assert.Equal(t, 1900*time.Millisecond, next(), "the others came when that was waited for")
		assert.Equal(t, 2900*time.Millisecond, next())

		ended, end := context.WithCancel(t.Context())
		end()
		assert.False(t, h.wait(ended, tick))
	})
}

package testbed

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/labtest"
)

const (
	patience = labtest.Patience
	// silence is how long an answer is waited for that must not come.
	silence = 1500 * time.Millisecond
)

// isDropped lets the client try to connect until its SYNs were dropped for a reason, and checks that it gets no answer.
func (tb *Testbed) isDropped(t *testing.T, to netip.AddrPort, reason string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		conn, err := tb.Dialer("client").Dial(ctx, "tcp", to, nil)
		if err == nil {
			conn.Close()
		}
		answer <- err
	}()
	require.Eventually(t, func() bool { return labtest.Count(t, tb, reason) > 0 }, patience, 10*time.Millisecond, reason)
	cancel()
	assert.ErrorIs(t, <-answer, context.Canceled, "it must wait, neither connected nor refused")
}

// eventuallyCounts waits until a reason was counted as often as wanted on all nodes together.
func (tb *Testbed) eventuallyCounts(t *testing.T, want uint64, reason string) {
	t.Helper()
	require.Eventually(t, func() bool { return labtest.Count(t, tb, reason) >= want }, patience, 10*time.Millisecond, reason)
	assert.Equal(t, want, labtest.Count(t, tb, reason), reason)
}

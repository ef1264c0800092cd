package testbed

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/workload"
)

const (
	patience = labtest.Patience
	// silence is how long an answer is waited for that must not come.
	silence = 1500 * time.Millisecond
	// manyCalls find each of four pods: one of which has at least 0.24 of the calls is missed with (1-0.24)^100, one of four in less
	// than 1 of 10^11 runs.
	manyCalls = 100
)

// call opens a connection to lineServers, which must succeed.
func (tb *Testbed) call(t *testing.T, from string, to netip.AddrPort) caller {
	t.Helper()
	return tb.callWithin(t, from, to, patience)
}

// callWithin is call for where the time matters.
func (tb *Testbed) callWithin(t *testing.T, from string, to netip.AddrPort, timeout time.Duration) caller {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	conn, err := tb.Dialer(from).Dial(ctx, "tcp", to, nil)
	if err != nil {
		require.NoError(t, err, "%s calls %v\n%s", from, to, labtest.Counters(tb))
	}
	t.Cleanup(func() { conn.Close() })
	return caller{conn, tb}
}

// expectCalls makes edgeCalls connections and sends as many datagrams from the client, at the same time, and compares what came of them.
func (tb *Testbed) expectCalls(t *testing.T, want outcome, to netip.AddrPort, message ...any) {
	t.Helper()
	var got outcome
	var preserved [2]int
	var group errgroup.Group
	for i, one := range []struct {
		protocol workload.Protocol
		want     int
		got      *int
	}{{workload.TCP, want.tcp, &got.tcp}, {workload.UDP, want.udp, &got.udp}} {
		timeout := patience
		if one.want == 0 {
			timeout = silence
		}
		group.Go(func() error {
			report, err := labtest.TryConnect(t, tb, "client", one.protocol, to, edgeCalls, timeout)
			if err == nil {
				*one.got, preserved[i] = report.Outcomes[workload.OutcomeOK], report.Preserved
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	got.preserved = preserved[0] + preserved[1]
	assert.Equal(t, want, got, message...)
}

// answering are the pods that answer calls from a place. It calls until as many as are wanted did, and 24 times at least, so that others
// show as well.
func (tb *Testbed) answering(t *testing.T, from string, to netip.AddrPort, want int) map[string]bool {
	t.Helper()
	seen := make(map[string]bool)
	for i := 0; i < manyCalls && (i < 24 || len(seen) < want); i++ {
		c := tb.call(t, from, to)
		seen[strings.TrimSpace(c.ask(t))] = true
		c.Close()
	}
	return seen
}

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

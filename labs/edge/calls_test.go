package edge

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
)

const (
	patience = labtest.Patience
	// silence is how long an answer is waited for that must not come.
	silence = 1500 * time.Millisecond
)

// expectCalls makes edgeCalls connections and sends as many datagrams from the client, at the same time, and compares what came of them.
func expectCalls(t *testing.T, tb *testbed.Testbed, want outcome, to netip.AddrPort, message ...any) {
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

package observe

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
)

// Two traces at once: the second one is told of the first, which goes on seeing its packets, or waits for its end.
func TestOneTrace(t *testing.T) {
	tb := serving(t)
	require.NoError(t, tb.Install(t.Context(), testbed.Variant{Name: "dsr", DataPath: testbed.DataPathDSRLab, Mode: services.ModeDSR}))
	o := TraceOptions{Client: "client", Frontend: netip.MustParseAddrPort("185.150.8.128:8080"), Protocol: workload.TCP, Port: 20001}
	client, err := tb.AddressOf(o.Client, true)
	require.NoError(t, err)
	first, err := startTrace(t.Context(), tb, client, o)
	require.NoError(t, err)

	second := o
	second.Port = 20002
	_, err = Trace(t.Context(), tb, second)
	var held *lockfile.HeldError
	if assert.ErrorAs(t, err, &held) {
		assert.Equal(t, "testbed "+tb.Network().Name()+" is being traced", held.What)
	}

	_, err = workload.Connect(t.Context(), workload.ConnectOptions{
		Dialer: workload.Dialer{Enter: tb.Enter(o.Client), Source: netip.AddrPortFrom(client, o.Port)}, Protocol: o.Protocol, Target: o.Frontend, Count: 1,
	})
	require.NoError(t, err)
	second.Waiting = func(*lockfile.HeldError) { require.NoError(t, first.stop()) }
	report, err := Trace(t.Context(), tb, second)
	require.NoError(t, err)
	assert.NotEmpty(t, first.hops, "the first one's filter is still its own")
	assert.NotEmpty(t, report.Hops)
	for _, h := range report.Hops {
		assert.Contains(t, []uint16{h.Source.Address.Port(), h.Destination.Address.Port()}, second.Port, "none of the first one's")
	}
}

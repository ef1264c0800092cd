package trial

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
)

// What a machine can't carry without a load balancer says nothing of one, unless the LB node's port was in the way.
func TestUnderCeiling(t *testing.T) {
	topology, err := topologies.Lookup("talk")
	require.NoError(t, err)
	plan, err := topologies.PlanOf(topology)
	require.NoError(t, err)
	r := &Run{Plan: plan}
	pods := []netip.Addr{netip.MustParseAddr("10.0.1.50")}
	seen := func(path testbed.DataPath, repetition int, payloadRate float64, replies uint64) string {
		attempt := &Attempt{Run: r, Phase: "p", Variant: testbed.Variant{DataPath: path}, Repetition: repetition}
		return attempt.UnderCeiling("client", pods, workload.Download, payloadRate, Watched{Replies: replies})
	}
	slow := "the machine carries 0.74 of what the wires allow, without any load balancer"
	assert.Empty(t, seen(testbed.DataPathDSRLab, 0, 7e8, 0), "nothing is known yet")
	assert.Equal(t, slow, seen(testbed.DataPathNone, 0, 7e8, 0))
	assert.Equal(t, slow, seen(testbed.DataPathDSRLab, 0, 9.3e8, 0))
	assert.Empty(t, seen(testbed.DataPathDSRLab, 0, 9e7, 1), "the LB node's port is what slows it")
	assert.Empty(t, seen(testbed.DataPathDSRLab, 1, 7e8, 0), "another repetition")
	assert.Empty(t, seen(testbed.DataPathNone, 0, 9.2e8, 0), "taken again")
	assert.Empty(t, seen(testbed.DataPathDSRLab, 0, 7e8, 0))
}

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/topologies"
)

// TestFlip: each service keeps an endpoint that is ready, whatever changes.
func TestFlip(t *testing.T) {
	plan := &topologies.Plan{}
	addChurned(plan)
	require.Len(t, plan.EndpointSlices, churned)
	changed := cloneSlices(plan.EndpointSlices)
	var all []int
	for n := range flippable {
		all = append(all, n)
	}
	assert.Equal(t, flippable, flip(changed, all))
	for i, slice := range changed {
		ready := 0
		for _, e := range slice.Endpoints {
			if *e.Conditions.Ready {
				ready++
			}
		}
		assert.Equal(t, 1, ready, slice.Name)
		assert.True(t, *plan.EndpointSlices[i].Endpoints[1].Conditions.Ready, "the plan's own stay as they are")
	}
	assert.Equal(t, 2, flip(changed, []int{0, flippable - 1}))
	assert.True(t, *changed[0].Endpoints[1].Conditions.Ready)
	assert.True(t, *changed[churned-1].Endpoints[churnedEndpoints-1].Conditions.Ready)
}

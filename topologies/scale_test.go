package topologies

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScaled(t *testing.T) {
	topology, err := Lookup("talk")
	require.NoError(t, err)
	plan, err := PlanOf(topology)
	require.NoError(t, err)
	scaled := plan.Scaled(5)
	for i, n := range plan.Nodes {
		s := scaled.Nodes[i]
		assert.Equal(t, n.ToNode.Rate/5, s.ToNode.Rate, "%s: the rate is divided", n.Name)
		assert.Equal(t, n.ToNode.Queue, s.ToNode.Queue, "%s: the queue keeps its bytes", n.Name)
		assert.Equal(t, n.FromNode.Burst, s.FromNode.Burst, "%s: the burst keeps its bytes", n.Name)
	}
	assert.Equal(t, Rate(1e9), plan.Nodes[0].ToNode.Rate, "the plan itself is left as it is")
	assert.Equal(t, plan, plan.Scaled(1))
	assert.True(t, scaled.Limited())
	assert.Zero(t, Shape{}.scaled(20).Rate, "a link without a rate stays without")
}

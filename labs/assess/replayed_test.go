package assess

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestReplayLines(t *testing.T) {
	r := &Report{Replay: &Replay{
		Nodes: 2, OfNodes: 3, Pods: 4, OfPods: 4, Divisor: 2.5, Parts: 2,
		Whole: Profile{Requests: 100, RequestBytes: 20, ReplyBytes: 20e3}, Profile: Profile{Requests: 200, RequestBytes: 12, ReplyBytes: 10e3, Acknowledgements: &Acknowledgements{Reply: 1.25}},
		Paths: []ReplayedPath{{
			Path: "dsr", Requests: 300, Full: &ReplayedLimit{Node: "a", Predicted: 1000, Measured: 950},
			Ports: []ReplayedPort{
				{Node: "a", Entry: true, Predicted: Load{BytesIn: 1e6, BytesOut: 2e6, PacketsIn: 10}, Measured: Load{BytesIn: 1.02e6, BytesOut: 1.9e6, PacketsIn: 11}},
				{Node: "b", Predicted: Load{BytesIn: 1}, Measured: Load{BytesIn: 9}},
			},
		}},
	}}
	assert.Equal(t, []string{
		"Replayed on a testbed with 2 of 3 nodes and all 4 pods, the ports' rates divided by 2.5: 100 requests/s of 20 bytes, replies of 20000 bytes, in the cluster's rates.",
		"At the ports where calls enter, bytes are within 5.0 % of the prediction.",
		"These predictions have 1.25 acknowledgements of each reply and 0 of each request, as there were without a load balancer.",
		"Each request was sent as 2 smaller ones, to have enough of them.",
		"dsr, a: in 8 Mbit/s predicted, 8.16 Mbit/s measured (+2.0 %), out 16 Mbit/s predicted, 15.2 Mbit/s measured (-5.0 %); " +
			"packets/s in 10 predicted, 11 measured (+10.0 %), out 0 predicted, 0 measured (+0.0 %).",
		"dsr: the first port is full, that of a, at requests/s of 1000 predicted, 950 measured (-5.0 %).",
	}, r.GainLines())
	assert.InDelta(t, -0.05, r.Replay.Worst(), 1e-9)
	assert.Empty(t, (&Report{}).GainLines())
}

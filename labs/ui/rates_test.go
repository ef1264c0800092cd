package ui

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// bytesOf are the bytes of a rate in Mbit/s, over a second.
func bytesOf(mbits float64) uint64 { return uint64(mbits * 1e6 / 8) }

func node(toNode, fromNode float64, reasons map[string]float64) NodeReading {
	n := NodeReading{Up: true, ToNode: shape.Stats{Bytes: bytesOf(toNode)}, FromNode: shape.Stats{Bytes: bytesOf(fromNode)}}
	if reasons != nil {
		n.Reasons = map[string]dataplane.Traffic{}
		for reason, mbits := range reasons {
			n.Reasons[reason] = dataplane.Traffic{Bytes: bytesOf(mbits)}
		}
	}
	return n
}

func TestWays(t *testing.T) {
	for _, c := range []struct {
		name  string
		nodes map[string]NodeReading
		ways  []Way
	}{
		{"nothing", map[string]NodeReading{}, []Way{}},
		{"snat", map[string]NodeReading{
			"client": node(90, 3, nil),
			"lb":     node(93, 93, map[string]float64{"to-overlay-snat": 3, "reply-from-snat": 90}),
			"worker": node(3, 90, map[string]float64{"from-overlay": 3}),
		}, []Way{
			{"client", "lb", Request, 3}, {"lb", "worker", Request, 3}, {"worker", "lb", Reply, 90}, {"lb", "client", Reply, 90},
		}},
		{"dsr: what the port counts beyond the data path is no way of its own", map[string]NodeReading{
			"client": node(940, 12, nil),
			"lb":     node(12, 20, map[string]float64{"to-overlay-dsr": 12}),
			"worker": node(20, 940, map[string]float64{"from-overlay": 20, "reply-direct": 900}),
		}, []Way{
			{"client", "lb", Request, 12}, {"lb", "worker", Request, 20}, {"worker", "client", Reply, 940},
		}},
		{"another data path", map[string]NodeReading{
			"client": node(90, 10, nil), "lb": node(100, 100, nil), "worker": node(10, 90, nil),
		}, []Way{
			{"client", "lb", Request, 10}, {"lb", "worker", Request, 10}, {"worker", "lb", Reply, 90}, {"lb", "client", Reply, 90},
		}},
		{"plain routing", map[string]NodeReading{
			"client": node(940, 10, nil), "lb": node(0, 0, nil), "worker": node(10, 940, nil),
		}, []Way{
			{"client", "worker", Request, 10}, {"worker", "client", Reply, 940},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			drawn := drawnNodes(planOf(t, "talk"))
			began := time.Now()
			before := Reading{At: began, Nodes: map[string]NodeReading{}}
			now := Reading{At: began.Add(time.Second), Nodes: c.nodes}
			got := waysBetween(ratesBetween(drawn, before, now), before, now)
			for i := range got {
				got[i].Rate = float64(int(got[i].Rate/1e6 + 0.5))
			}
			assert.Equal(t, c.ways, got)
		})
	}
}

func TestCounterThatBeganAnew(t *testing.T) {
	assert.Zero(t, perSecond(10, 5, 1))
	assert.Zero(t, perSecond(0, 5, 0))
	assert.InDelta(t, 2.5, perSecond(5, 10, 2), 1e-9)
}

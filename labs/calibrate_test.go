package labs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// A link is as fast as in its best window, with each frame's overhead, in the direction that is asked.
func TestFastest(t *testing.T) {
	overhead := topologies.DefaultOverhead
	spec := topologies.Shape{Rate: 1e9, Overhead: &overhead}
	begin := time.Unix(0, 0)
	at := func(passed time.Duration, frames uint64) counted {
		stats := shape.Stats{Shape: spec, Bytes: frames * 1514, Packets: frames}
		return counted{begin.Add(passed), []port{{toNode: stats, fromNode: shape.Stats{Shape: spec}}}}
	}
	const full = 1e9 / 8 / 1538 / 1000 // frames in a millisecond
	half := func(ms float64) uint64 { return uint64(full * ms / 2) }
	counts := []counted{at(0, 0), at(calibrationWindow, half(200)), at(2*calibrationWindow, half(200)+half(400)), at(500*time.Millisecond, half(200)+half(400))}
	assert.InDelta(t, 1, fastest(counts, true), 0.001)
	assert.Zero(t, fastest(counts, false))
	assert.InDelta(t, 0.5, fastest(counts[:2], true), 0.001)
	assert.Zero(t, fastest(counts[:1], true), "nothing was followed for long enough")
}

func TestOnly(t *testing.T) {
	client, lb, worker := way{node: topologies.Node{Name: "client"}}, way{node: topologies.Node{Name: "lb"}}, way{node: topologies.Node{Name: "worker"}}
	batches := func() [][]way { return [][]way{{client}, {lb, worker}, {lb}} }
	for _, test := range []struct {
		name string
		off  map[string]string
		want [][]way
	}{
		{"none is off", nil, nil},
		{"one is off", map[string]string{"lb": "carries 0.91"}, [][]way{{lb}, {lb}}},
		{"two are off", map[string]string{"client": "carries 0.91", "worker": "carries 1.2"}, [][]way{{client}, {worker}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, only(test.off, batches()))
		})
	}
}

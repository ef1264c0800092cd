package measure

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
	at := func(passed time.Duration, frames uint64) Reading {
		stats := shape.Stats{Shape: spec, Bytes: frames * 1514, Packets: frames}
		return Reading{begin.Add(passed), []Port{{ToNode: stats, FromNode: shape.Stats{Shape: spec}}}}
	}
	const full = 1e9 / 8 / 1538 / 1000 // frames in a millisecond
	half := func(ms float64) uint64 { return uint64(full * ms / 2) }
	readings := []Reading{at(0, 0), at(calibrationWindow, half(200)), at(2*calibrationWindow, half(200)+half(400)), at(500*time.Millisecond, half(200)+half(400))}
	assert.InDelta(t, 1, fastest(readings, true), 0.001)
	assert.Zero(t, fastest(readings, false))
	assert.InDelta(t, 0.5, fastest(readings[:2], true), 0.001)
	assert.Zero(t, fastest(readings[:1], true), "nothing was followed for long enough")
}

func TestWithout(t *testing.T) {
	client, lb, worker := Link{Node: topologies.Node{Name: "client"}}, Link{Node: topologies.Node{Name: "lb"}}, Link{Node: topologies.Node{Name: "worker"}}
	batches := func() [][]Link { return [][]Link{{client}, {lb, worker}, {lb}} }
	for _, test := range []struct {
		name string
		off  map[string]string
		want [][]Link
	}{
		{"none is off", nil, nil},
		{"one is off", map[string]string{"lb": "carries 0.91"}, [][]Link{{lb}, {lb}}},
		{"two are off", map[string]string{"client": "carries 0.91", "worker": "carries 1.2"}, [][]Link{{client}, {worker}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, without(func(node string) bool { return test.off[node] == "" }, batches()))
		})
	}
}

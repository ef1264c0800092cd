package labs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

func TestUseOfPorts(t *testing.T) {
	overhead := 24
	// counted is a direction of 1 Mbit/s that sent frames of 976 bytes: 8000 bits each on the wire.
	counted := func(frames uint64) shape.Stats {
		return shape.Stats{Shape: topologies.Shape{Rate: 1e6, Overhead: &overhead}, Packets: frames, Bytes: frames * 976}
	}
	tests := []struct {
		name  string
		ports []port
		over  time.Duration
		want  float64
	}{
		{"the busier direction", []port{{counted(25), counted(50)}}, time.Second, 0.4},
		{"the other one", []port{{counted(100), counted(50)}}, time.Second, 0.8},
		{"the busiest port", []port{{counted(25), counted(50)}, {counted(75), counted(0)}}, time.Second, 0.6},
		{"in half the time", []port{{counted(25), counted(50)}}, 500 * time.Millisecond, 0.8},
		{"not shaped", []port{{shape.Stats{Bytes: 1e6}, shape.Stats{Bytes: 1e6}}}, time.Second, 0},
		{"no time", []port{{counted(25), counted(50)}}, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.InDelta(t, test.want, watched{ports: test.ports}.use(test.over), 1e-9)
		})
	}
}

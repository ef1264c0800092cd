package measure

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// What ports carried between two times is what was read there, or lies between the readings around them.
func TestBetween(t *testing.T) {
	begin := time.Unix(0, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	reading := func(ms int, to, from uint64) Reading {
		return Reading{at(ms), []Port{{shape.Stats{Bytes: 1000 * to, Packets: to}, shape.Stats{Bytes: 100 * from, Packets: from}}}}
	}
	readings := []Reading{reading(0, 5, 7), reading(100, 15, 7), reading(200, 15, 107)}
	tests := []struct {
		name        string
		from, until int // ms
		to, back    uint64
	}{
		{"two readings", 0, 200, 10, 100},
		{"between them", 50, 150, 5, 50},
		{"more than was followed", -100, 300, 10, 100},
		{"after the last", 300, 400, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			seen := Between(readings, at(test.from), at(test.until))[0]
			assert.Equal(t, []uint64{1000 * test.to, test.to}, []uint64{seen.ToNode.Bytes, seen.ToNode.Packets})
			assert.Equal(t, []uint64{100 * test.back, test.back}, []uint64{seen.FromNode.Bytes, seen.FromNode.Packets})
		})
	}
	assert.Empty(t, Between(nil, at(0), at(1)), "nothing was followed")
}

func TestUse(t *testing.T) {
	overhead := 24
	// counted is a direction of 1 Mbit/s that sent frames of 976 bytes: 8000 bits each on the wire.
	counted := func(frames uint64) shape.Stats {
		return shape.Stats{Shape: topologies.Shape{Rate: 1e6, Overhead: &overhead}, Packets: frames, Bytes: frames * 976}
	}
	tests := []struct {
		name  string
		ports []Port
		over  time.Duration
		want  float64
	}{
		{"the busier direction", []Port{{counted(25), counted(50)}}, time.Second, 0.4},
		{"the other one", []Port{{counted(100), counted(50)}}, time.Second, 0.8},
		{"the busiest port", []Port{{counted(25), counted(50)}, {counted(75), counted(0)}}, time.Second, 0.6},
		{"in half the time", []Port{{counted(25), counted(50)}}, 500 * time.Millisecond, 0.8},
		{"not shaped", []Port{{shape.Stats{Bytes: 1e6}, shape.Stats{Bytes: 1e6}}}, time.Second, 0},
		{"no time", []Port{{counted(25), counted(50)}}, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.InDelta(t, test.want, Use(test.ports, test.over), 1e-9)
		})
	}
}

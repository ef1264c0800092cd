package labs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/topologies/shape"
)

// What ports carried between two times is what was read there, or lies between the readings around them.
func TestBetween(t *testing.T) {
	begin := time.Unix(0, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	reading := func(ms int, to, from uint64) counted {
		return counted{at(ms), []port{{shape.Stats{Bytes: 1000 * to, Packets: to}, shape.Stats{Bytes: 100 * from, Packets: from}}}}
	}
	counts := []counted{reading(0, 5, 7), reading(100, 15, 7), reading(200, 15, 107)}
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
			seen := between(counts, at(test.from), at(test.until)).ports[0]
			assert.Equal(t, []uint64{1000 * test.to, test.to}, []uint64{seen.toNode.Bytes, seen.toNode.Packets})
			assert.Equal(t, []uint64{100 * test.back, test.back}, []uint64{seen.fromNode.Bytes, seen.fromNode.Packets})
		})
	}
	assert.Empty(t, between(nil, at(0), at(1)).ports, "nothing was followed")
}

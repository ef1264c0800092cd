package workload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// received is a stream whose receiver got a megabyte each 100 ms, from when its transfer began until it ended.
func received(begin time.Duration, megabytes int) Stream {
	const interval, megabyte = 100 * time.Millisecond, 1_000_000
	end := &BulkEnd{FirstByte: 1, LastByte: time.Duration(megabytes) * interval, Received: int64(megabytes) * megabyte}
	for i := range megabytes {
		end.Samples = append(end.Samples, Sample{At: time.Duration(i) * interval, Received: int64(i) * megabyte})
	}
	return Stream{Begin: begin, Client: end}
}

func TestFlowTogether(t *testing.T) {
	const stream = 80e6 // bit/s of one stream
	tests := []struct {
		name    string
		streams []Stream
		want    float64
	}{
		{"one", []Stream{received(0, 10)}, stream},
		{"both from begin to end", []Stream{received(0, 10), received(0, 10)}, 2 * stream},
		{"one begins late, the other one ends late", []Stream{received(0, 10), received(300*time.Millisecond, 10)}, 2 * stream},
		{"one after the other", []Stream{received(0, 10), received(time.Second, 10)}, 0},
		{"one got nothing", []Stream{received(0, 10), {Client: &BulkEnd{}}}, 0},
		{"one did not report", []Stream{received(0, 10), {}}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			flow := newFlow(test.streams, func(s Stream) (sender, receiver *BulkEnd) { return nil, s.Client })
			assert.InDelta(t, test.want, flow.Together, 10)
		})
	}
}

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

// TestFlowSeries: bytes and retransmissions are spread over the intervals in which they were counted, and none is lost between two.
func TestFlowSeries(t *testing.T) {
	const tenth = 100 * time.Millisecond
	sender := &BulkEnd{}
	for i, again := range []uint32{0, 0, 5, 5, 9} { // the last one was counted after the last byte had come
		sender.Samples = append(sender.Samples, Sample{At: time.Duration(i) * tenth, TCP: TCPInfo{Retransmits: again}})
	}
	slow, fast := received(0, 3), received(30*time.Millisecond, 3)
	slow.Client.Received, slow.Client.Samples = 1, slow.Client.Samples[:1] // its byte is in no interval as a whole
	flow := newFlow([]Stream{fast, slow}, func(s Stream) (*BulkEnd, *BulkEnd) { return sender, s.Client })
	var bytes, again []int64
	for _, r := range flow.Series {
		bytes, again = append(bytes, r.Bytes), append(again, r.Retransmits)
	}
	assert.Equal(t, int64(3_000_001), flow.Bytes)
	assert.Equal(t, flow.Bytes, bytes[0]+bytes[1]+bytes[2])
	assert.InDelta(t, 700_000, bytes[0], 1, "the fast one begins 30 ms late")
	assert.Equal(t, []int64{0, 9, 9}, again, "the fast one's are those of 30 ms before, and the last interval has what came later")
	assert.Equal(t, uint64(18), flow.Retransmits)
}

package replay

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload"
)

// While replies are streamed, as many requests are in flight as get their replies in that time, and it is measured for several of these.
func TestFill(t *testing.T) {
	for name, test := range map[string]struct {
		request request
		ports   int
		limit   float64
		want    filling
	}{
		"replies in one part": {request{1000, 20000, 1}, 2, 300, filling{inFlight: 18, warm: time.Second, count: 2 * time.Second}},
		"large replies":       {request{1000, 1e6, 1}, 3, 30, filling{inFlight: 6, warm: time.Second, count: 2 * time.Second}},
		"small replies":       {request{100, 100, 0}, 3, 1e5, filling{inFlight: 128, warm: time.Second, count: 2 * time.Second}},
		// a reply takes 1.1 s, so 109 of them are under way at 99 each second
		"tokens": {request{1000, 4000, 1001}, 1, 99, filling{inFlight: 49 + 109, warm: 2200 * time.Millisecond, count: 4400 * time.Millisecond}},
	} {
		got, ok := test.request.fill(test.ports, test.limit, 2*time.Second)
		assert.True(t, ok, name)
		assert.Equal(t, test.want, got, name)
	}
	_, ok := request{1000, 4000, 1001}.fill(1, 1000, 2*time.Second)
	assert.False(t, ok, "too many would have to be in flight")
	_, ok = request{1000, 40000, 10001}.fill(1, 1, 2*time.Second)
	assert.False(t, ok, "it would take too long")
}

// Replies have the average of parts that the profile has.
func TestPartsOf(t *testing.T) {
	for average, want := range map[float64]int{0: 1000, 1: 1000, 1.1: 1100, 2.75: 2750, 7: 7000} {
		all := 0
		for i := range int64(1000) {
			parts := request{parts: average}.partsOf(i + 1)
			assert.InDelta(t, max(average, 1), parts, 1)
			all += parts
		}
		assert.InDelta(t, want, all, 1, average)
	}
}

// A request that fails is told once, and no further ones are waited for.
func TestPacedFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	target := workload.AddrPortOf(l.Addr())
	require.NoError(t, l.Close())
	some := &load{pairs: []pair{{target: target, share: 1}}, request: request{size: 100, reply: 100}, idle: map[int][]net.Conn{}}
	err = some.paced(t.Context(), 2, 1e-6) // the second would be due in days
	require.ErrorContains(t, err, "connection refused")
	assert.NotContains(t, err.Error(), "\n")
}

// What was measured is there even if the testbed could not be taken down.
func TestEnded(t *testing.T) {
	r, measuring, removing := &assess.Replay{Nodes: 3}, errors.New("measuring"), errors.New("removing")
	got, err := ended(r, nil, removing)
	require.EqualError(t, err, "replay: removing")
	assert.Equal(t, r, got)
	got, err = ended(r, nil, nil)
	require.NoError(t, err)
	assert.Equal(t, r, got)
	got, err = ended(nil, measuring, removing)
	require.ErrorIs(t, err, measuring)
	require.ErrorIs(t, err, removing)
	assert.Nil(t, got)
}

// Opening connections costs no reply of the load, which may take long.
func TestWarm(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	asked := make(chan []uint32, 1)
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fields := make([]uint32, 3)
		_ = binary.Read(conn, binary.BigEndian, fields) // else they are 0
		asked <- fields
		_, _ = conn.Write([]byte{0})
		_, _ = io.Copy(io.Discard, conn)
	}()
	l := &load{pairs: []pair{{target: workload.AddrPortOf(server.Addr()), share: 1}}, request: request{size: 500, reply: 2000, parts: 1000}, idle: map[int][]net.Conn{}}
	require.NoError(t, l.warm(t.Context()))
	assert.Equal(t, []uint32{headerSize, 1, 1}, <-asked)
	assert.Len(t, l.idle[0], 1)
	l.close()
}

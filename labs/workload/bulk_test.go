package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload/deadport"
)

func TestBulkByBytes(t *testing.T) {
	port, log := startServer(t, KindBulk)
	const size = 20<<20 + 12345
	for name, target := range loopbacks(port) {
		for _, direction := range []Direction{Download, Upload, Both} {
			t.Run(name+" "+string(direction), func(t *testing.T) {
				report, err := Bulk(t.Context(), BulkOptions{Target: target, Direction: direction, Bytes: size, Streams: 3})
				require.NoError(t, err)
				require.Len(t, report.Streams, 3)
				for _, stream := range report.Streams {
					assert.Equal(t, stream.Client.Local, stream.Server.Remote, "no translation on loopback")
					assert.Equal(t, target, stream.Client.Remote)
				}
				assert.Equal(t, direction != Upload, report.Download != nil)
				assert.Equal(t, direction != Download, report.Upload != nil)
				for _, flow := range []*Flow{report.Download, report.Upload} {
					if flow == nil {
						continue
					}
					assert.EqualValues(t, size, flow.Bytes)
					assert.EqualValues(t, size, flow.Sent)
					assert.True(t, flow.SenderReported)
					assert.NotEmpty(t, flow.CongestionControl)
					assert.Positive(t, flow.RTT)
					assert.InEpsilon(t, 8*size/flow.Duration.Seconds(), flow.PayloadRate, 1e-9)
				}
				assert.Len(t, log.entries(t, "lost"), 0)
			})
		}
	}
}

// The kernel's own counters, of both ends, must agree with what the applications counted.
func TestBulkCountersAgree(t *testing.T) {
	port, _ := startServer(t, KindBulk)
	const size = 5 << 20
	report, err := Bulk(t.Context(), BulkOptions{Target: loopbacks(port)["IPv4"], Direction: Download, Bytes: size})
	require.NoError(t, err)
	stream := report.Streams[0]
	assert.EqualValues(t, size, stream.Server.Sent)
	assert.EqualValues(t, size, stream.Client.Received)
	// Framing is 8 bytes for each data frame, and the answer.
	assert.InDelta(t, size, stream.Client.last().BytesReceived, 8*size/minDataFrame+1000)
	assert.GreaterOrEqual(t, stream.Server.last().BytesAcked, uint64(size), "all was delivered when the server reported")
	assert.Zero(t, stream.Server.last().Unacked)
	assert.Zero(t, stream.Server.last().NotSent)
}

func TestBulkByTime(t *testing.T) {
	port, _ := startServer(t, KindBulk)
	for _, direction := range []Direction{Download, Upload, Both} {
		t.Run(string(direction), func(t *testing.T) {
			t.Parallel()
			const duration = 550 * time.Millisecond
			began := time.Now()
			report, err := Bulk(t.Context(), BulkOptions{Target: loopbacks(port)["IPv6"], Direction: direction, Duration: duration})
			require.NoError(t, err)
			assert.GreaterOrEqual(t, time.Since(began), duration)
			for _, flow := range []*Flow{report.Download, report.Upload} {
				if flow == nil {
					continue
				}
				assert.LessOrEqual(t, flow.Duration, time.Since(began))
				assert.Greater(t, flow.Duration, duration/2)
				assert.Equal(t, flow.Sent, flow.Bytes)
				assert.NotEmpty(t, flow.Series)
				var bits float64
				before := time.Duration(0)
				for _, rate := range flow.Series {
					bits += rate.PayloadRate * (rate.At - before).Seconds()
					before = rate.At
				}
				assert.InEpsilon(t, 8*float64(flow.Bytes), bits, 1e-6, "the series adds up to what was delivered")
			}
			for _, end := range []*BulkEnd{report.Streams[0].Client, report.Streams[0].Server} {
				require.GreaterOrEqual(t, len(end.Samples), 2, "samples while it ran, each 100 ms if the machine is idle, and one at the end")
				for i := 1; i < len(end.Samples); i++ {
					assert.Greater(t, end.Samples[i].At, end.Samples[i-1].At)
					assert.GreaterOrEqual(t, end.Samples[i].Sent, end.Samples[i-1].Sent)
					assert.GreaterOrEqual(t, end.Samples[i].Received, end.Samples[i-1].Received)
				}
			}
		})
	}
}

func TestBulkCongestionControl(t *testing.T) {
	port, _ := startServer(t, KindBulk)
	o := BulkOptions{Target: loopbacks(port)["IPv4"], Direction: Both, Bytes: 1 << 20, CongestionControl: "reno"} // always built in
	report, err := Bulk(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, "reno", report.Download.CongestionControl)
	assert.Equal(t, "reno", report.Upload.CongestionControl)

	o.CongestionControl = "nonesuch"
	report, err = Bulk(t.Context(), o)
	assert.Nil(t, report)
	require.ErrorContains(t, err, `set congestion control "nonesuch": no such file or directory (the kernel has: `)
}

func TestBulkOptionErrors(t *testing.T) {
	_, err := Bulk(t.Context(), BulkOptions{
		Dialer:    Dialer{Source: netip.MustParseAddrPort("[::1]:7")},
		Target:    netip.MustParseAddrPort("127.0.0.1:0"),
		Direction: "sideways", Bytes: -1, Duration: 2 * time.Hour, Streams: 2000, Timeout: -1,
	})
	require.Error(t, err)
	assert.Equal(t, strings.Join([]string{
		"target 127.0.0.1:0: found port 0 (want 1 to 65535)",
		"source, target: found ::1, 127.0.0.1:0 (want the same IP version)",
		`direction: found "sideways" (want download, upload or both)`,
		"bytes: found -1 (want 0 or more)",
		"seconds: found 7200 (want 0 to 3600)",
		"streams: found 2000 (want 1 to 1024)",
		"source port: found 7 (want none for 2000 streams, which can't share it)",
		"timeout, grace: found -1ns, 0s (want 0 or more)",
	}, "\n"), err.Error())
}

func TestBulkServerRejects(t *testing.T) {
	port, _ := startServer(t, KindBulk)
	for _, test := range []struct{ name, request, want string }{
		{"no limit", `{"direction":"download"}`, "missing bytes or seconds"},
		{"direction", `{"direction":"up","bytes":1}`, `direction: found "up" (want download, upload or both)`},
		{"time", `{"direction":"upload","seconds":1e9}`, "seconds: found 1e+09 (want 0 to 3600)"},
		{"congestion control", `{"direction":"upload","bytes":1,"cc":"nonesuch"}`, `set congestion control "nonesuch": no such file`},
		{"no JSON", `GET / HTTP/1.1`, "read request (want one line of JSON): invalid character 'G'"},
		{"long line", strings.Repeat("x", maxRequestLine+1), "read request: line too long (want at most 4096 bytes)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", loopbacks(port)["IPv4"].String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, test.request+"\n")
			require.NoError(t, err)
			var answer bulkAnswer
			require.NoError(t, readJSONFrame(conn, frameAnswer, &answer))
			assert.Contains(t, answer.Error, test.want)
		})
	}
}

func TestBulkNoServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	o := BulkOptions{Target: AddrPortOf(listener.Addr()), Direction: Download, Bytes: 1, Timeout: time.Second}
	_, err = Bulk(t.Context(), o) // accepted by the kernel, served by nobody
	assert.ErrorContains(t, err, "read answer")
	assert.Equal(t, OutcomeTimeout, OutcomeOf(err))
	o.Target, o.Timeout = deadport.Open(t), 10*time.Second
	_, err = Bulk(t.Context(), o)
	assert.Equal(t, OutcomeRefused, OutcomeOf(err))
}

// fakeServer answers one client's request with ok and then does as told.
func fakeServer(t *testing.T, then func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	listener, err := ListenTCP(t.Context(), nil, netip.MustParseAddrPort("127.0.0.1:0"))
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.AcceptTCP()
		if !assert.NoError(t, err) {
			return
		}
		defer conn.Close()
		_, err = readRequest(conn)
		assert.NoError(t, err)
		frame, err := appendJSONFrame(nil, frameAnswer, bulkAnswer{})
		assert.NoError(t, err)
		_, err = conn.Write(frame)
		assert.NoError(t, err)
		then(conn)
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return AddrPortOf(listener.Addr())
}

func frame(kind frameType, payload int) []byte {
	b := make([]byte, frameHeader+payload)
	putHeader(b, kind, payload)
	return b
}

func TestBulkBrokenServer(t *testing.T) {
	for _, test := range []struct {
		name string
		send []byte
		want string
	}{
		{"ends at once", nil, "connection ended before the answer"},
		{"ends in a frame", frame(frameData, 100)[:50], "receive data: unexpected EOF"},
		{"not a frame", []byte("HTTP/1.1 400 Bad Request\r\n"), "unknown type 72"},
		{"frame too large", []byte{byte(frameData), 0, 0, 0, 1, 0, 0, 0}, "type 2: found 16777216 bytes (want at most 262144)"},
		{"got for nothing", frame(frameGot, 0), "found an unexpected or repeated end of a direction"},
		{"end twice", append(frame(frameEnd, 0), frame(frameEnd, 0)...), "found an unexpected or repeated end of a direction"},
		{"report too early", frame(frameReport, 2), "report before the transfer's end"},
		{"report is no JSON", append(frame(frameEnd, 0), frame(frameReport, 2)...), "decode frame: invalid character"},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := fakeServer(t, func(conn *net.TCPConn) {
				_, err := conn.Write(test.send)
				assert.NoError(t, err)
				_ = conn.CloseWrite()            // the client may be gone already
				_, _ = io.Copy(io.Discard, conn) // until the client gives up
			})
			report, err := Bulk(t.Context(), BulkOptions{Target: target, Direction: Download, Duration: time.Minute})
			require.ErrorContains(t, err, test.want)
			require.NotNil(t, report, "what is known is reported")
			assert.False(t, report.Download.SenderReported)
			assert.Contains(t, report.Streams[0].Error, test.want)
		})
	}
}

// The receipt comes before the report, or the sender would wait for it for ever.
func TestBulkReceiptBeforeReport(t *testing.T) {
	order := make(chan []frameType, 1)
	target := fakeServer(t, func(conn *net.TCPConn) {
		var kinds []frameType
		_, err := conn.Write(frame(frameEnd, 0))
		assert.NoError(t, err)
		for range 2 {
			header := make([]byte, frameHeader)
			_, err = io.ReadFull(conn, header)
			assert.NoError(t, err)
			kind, length, err := parseHeader(header)
			assert.NoError(t, err)
			_, err = io.CopyN(io.Discard, conn, int64(length))
			assert.NoError(t, err)
			kinds = append(kinds, kind)
		}
		order <- kinds
	})
	_, err := Bulk(t.Context(), BulkOptions{Target: target, Direction: Download, Bytes: 1})
	require.ErrorContains(t, err, "connection ended")
	require.Equal(t, []frameType{frameGot, frameReport}, <-order)
}

// A server that goes silent may not hold the client beyond the transfer's time and the grace.
func TestBulkSilentServer(t *testing.T) {
	for _, direction := range []Direction{Download, Upload} {
		t.Run(string(direction), func(t *testing.T) {
			release := make(chan struct{})
			target := fakeServer(t, func(conn *net.TCPConn) {
				_, err := conn.Write(frame(frameData, 1000))
				assert.NoError(t, err)
				<-release
			})
			defer close(release)
			report, err := Bulk(t.Context(), BulkOptions{
				Target: target, Direction: direction, Duration: 500 * time.Millisecond, Grace: 500 * time.Millisecond,
			})
			require.Error(t, err)
			if direction == Download {
				assert.ErrorContains(t, err, "stream 1 of 1: transfer not complete 500ms after its end: ")
				assert.EqualValues(t, 1000, report.Download.Bytes)
			}
		})
	}
}

func TestBulkCancelled(t *testing.T) {
	port, _ := startServer(t, KindBulk)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	report, err := Bulk(ctx, BulkOptions{Target: loopbacks(port)["IPv4"], Direction: Both, Duration: time.Minute})
	require.True(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
	assert.Less(t, time.Since(began), time.Minute)
	assert.Positive(t, report.Download.Bytes)
}

func TestFrameHeader(t *testing.T) {
	b := bytes.Repeat([]byte{0xff}, frameHeader)
	putHeader(b, frameData, 0x10203)
	assert.Equal(t, []byte{2, 0, 0, 0, 0, 1, 2, 3}, b)
	kind, length, err := parseHeader(b)
	require.NoError(t, err)
	assert.Equal(t, frameData, kind)
	assert.Equal(t, 0x10203, length)
	b[2] = 1
	_, _, err = parseHeader(b)
	assert.EqualError(t, err, "read frame: type 2: found 66051 bytes (want at most 262144)")
}

func TestReportFitsFrame(t *testing.T) {
	s := Sample{At: time.Hour, Sent: 1 << 50, Received: 1 << 50, TCP: TCPInfo{
		RTT: 1 << 40, RTTVar: 1 << 40, MinRTT: 1 << 40, ReceiverRTT: 1 << 40, RTO: 1 << 40, CongestionWindow: 1 << 31,
		SlowStartThreshold: 1 << 31, MSS: 1 << 16, PMTU: 1 << 16, Unacked: 1 << 31, Sacked: 1 << 31, Lost: 1 << 31, Retransmits: 1 << 31,
		BytesRetransmitted: 1 << 60, Timeouts: 1 << 15, DSACKDups: 1 << 31, Reordered: 1 << 31, OutOfOrder: 1 << 31, BytesSent: 1 << 60,
		BytesAcked: 1 << 60, BytesReceived: 1 << 60, SegmentsOut: 1 << 31, SegmentsIn: 1 << 31, NotSent: 1 << 31, DeliveryRate: 1 << 60,
		PacingRate: 1 << 60, Busy: 1 << 60, ReceiverLimited: 1 << 60, BufferLimited: 1 << 60, SendWindow: 1 << 31,
	}}
	one, err := json.Marshal(s)
	require.NoError(t, err)
	assert.Less(t, maxSamples*(len(one)+1)+1000, maxJSONFrame)
}

func BenchmarkBulk(b *testing.B) {
	for _, direction := range []Direction{Download, Upload} {
		b.Run(string(direction), func(b *testing.B) {
			port, _ := startServer(b, KindBulk)
			const size = 1 << 30
			b.SetBytes(size)
			var bits float64
			for b.Loop() {
				report, err := Bulk(b.Context(), BulkOptions{Target: loopbacks(port)["IPv4"], Direction: direction, Bytes: size})
				require.NoError(b, err)
				bits += report.flow().PayloadRate
			}
			b.ReportMetric(bits/float64(b.N)/1e9, "Gbit/s")
		})
	}
}

// flow is the only one of a transfer that has one.
func (r *BulkReport) flow() *Flow {
	if r.Download != nil {
		return r.Download
	}
	return r.Upload
}

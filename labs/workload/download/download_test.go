package download

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/deadport"
)

func runServer(t *testing.T) (*Server, *workload.Servers, []netip.AddrPort) {
	t.Helper()
	s, err := Open(t.Context(), ServerOptions{})
	require.NoError(t, err)
	servers := workload.Run(context.Background(), s)
	t.Cleanup(func() { require.NoError(t, servers.Close()) })
	port := s.Listening().Address.Port()
	return s, servers, []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), netip.AddrPortFrom(netip.IPv6Loopback(), port)}
}

func TestContent(t *testing.T) {
	// The first outputs of SplitMix64 for seed 0, as its authors' code gives them.
	assert.Equal(t, uint64(0xe220a8397b1dcdaf), content{}.word(0))
	assert.Equal(t, uint64(0x6e789e6aa1b965f4), content{}.word(1))
	whole := make([]byte, 1000)
	c := content{42}
	c.fill(whole, 0)
	for _, test := range [][2]int{{0, 1000}, {1, 999}, {7, 9}, {8, 16}, {13, 14}, {990, 1000}, {5, 5}} {
		part := make([]byte, test[1]-test[0])
		c.fill(part, int64(test[0]))
		assert.Equal(t, whole[test[0]:test[1]], part)
		assert.NoError(t, c.check(part, int64(test[0])))
	}
	assert.ErrorContains(t, c.check(whole[8:], 0), "bytes at 0: found ", "bytes are missing")
	assert.ErrorContains(t, c.check(append(whole[:500:500], whole[400:]...), 0), "bytes at 496: found ", "bytes are repeated")
	assert.ErrorContains(t, content{43}.check(whole[5:], 5), ": content of another stream or offset")
}

// Paced to its rate, a download takes as long as was said, and no less; many at once don't mix.
func TestDownloads(t *testing.T) {
	server, _, at := runServer(t)
	for _, target := range at {
		report, err := Run(t.Context(), Options{Target: target, Count: 50, Rate: 80_000, Length: time.Second})
		require.NoError(t, err)
		assert.Equal(t, map[End]int{Completed: 50}, report.Ends)
		assert.EqualValues(t, 50*10_000, report.Bytes)
		require.Len(t, report.Downloads, 50)
		slots := map[int]bool{}
		for i, d := range report.Downloads {
			assert.Equal(t, i, d.Index)
			slots[d.Slot] = true
			assert.GreaterOrEqual(t, d.Ended-d.Connected, time.Second-pace-10*time.Millisecond, "the last of five chunks is due after 800 ms")
			assert.Greater(t, d.LongestGap, 100*time.Millisecond)
			assert.GreaterOrEqual(t, d.LongestGapBegan, d.Connected)
			assert.EqualValues(t, 10_000, d.Bytes)
			assert.Equal(t, target.Addr(), d.Local.Addr())
			assert.Empty(t, d.Error)
		}
		assert.Len(t, slots, 50)
	}
	require.Eventually(t, func() bool { return server.Report().Completed == 100 }, time.Minute, time.Millisecond)
	assert.Equal(t, ServerReport{Completed: 100, Bytes: 100 * 10_000}, server.Report())
}

func TestDownloadsAreKeptRunning(t *testing.T) {
	_, _, at := runServer(t)
	report, err := Run(t.Context(), Options{Target: at[0], Count: 3, Rate: 800_000, Length: 10 * time.Millisecond, Duration: time.Second})
	require.NoError(t, err)
	assert.Greater(t, len(report.Downloads), 3)
	assert.Equal(t, len(report.Downloads), report.Ends[Completed])
	for _, d := range report.Downloads {
		assert.Less(t, d.Began, 10*time.Second)
	}
}

func TestLast(t *testing.T) {
	_, _, at := runServer(t)
	load, err := Start(t.Context(), Options{Target: at[0], Count: 3, Rate: 800_000, Length: 10 * time.Millisecond, Duration: time.Hour})
	require.NoError(t, err)
	<-load.Ready()
	load.Last()
	last := time.Now()
	report := load.Wait() // and not for an hour
	for _, d := range report.Downloads {
		assert.Equal(t, Completed, d.End)
		assert.LessOrEqual(t, d.Began, last.Sub(report.Began)+10*time.Second)
	}
}

// What runs when the server dies is reset, and the report says which downloads those were.
func TestServerDies(t *testing.T) {
	_, servers, at := runServer(t)
	load, err := Start(t.Context(), Options{Target: at[0], Count: 20, Rate: 800_000, Length: time.Hour})
	require.NoError(t, err)
	<-load.Ready()
	assert.Equal(t, 20, load.Running())
	died := time.Now()
	require.NoError(t, servers.Close())
	report := load.Wait()
	assert.Equal(t, map[End]int{Reset: 20}, report.Ends)
	assert.Len(t, report.RunningAt(died), 20)
	assert.Empty(t, report.RunningAt(report.Began.Add(-time.Second)))
	assert.Empty(t, report.RunningAt(time.Now()))
	for _, d := range report.Downloads {
		assert.Positive(t, d.Bytes)
		assert.Contains(t, d.Error, fmt.Sprintf("after %d of 360000000 bytes: ", d.Bytes))
	}
	assert.Zero(t, load.Running())
}

func TestStop(t *testing.T) {
	server, _, at := runServer(t)
	load, err := Start(t.Context(), Options{Target: at[1], Count: 5, Rate: 800_000, Length: time.Hour, Duration: time.Hour})
	require.NoError(t, err)
	<-load.Ready()
	load.Stop()
	assert.Equal(t, map[End]int{Stopped: 5}, load.Wait().Ends)
	require.Eventually(t, func() bool { return server.Report().Broken == 5 }, time.Minute, time.Millisecond)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Run(ctx, Options{Target: at[0], Rate: 1, Length: 1})
	assert.EqualError(t, err, "download from "+at[0].String()+": context canceled")
}

// fakeServer answers each request as it likes.
func fakeServer(t *testing.T, answer func(*net.TCPConn, request)) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				line, err := bufio.NewReader(conn).ReadBytes('\n')
				var r request
				if err == nil && json.Unmarshal(line, &r) == nil {
					answer(conn.(*net.TCPConn), r)
				}
			}()
		}
	}()
	return workload.AddrPortOf(listener.Addr())
}

func TestEnds(t *testing.T) {
	gone := deadport.Open(t)
	whole := func(r request) []byte {
		b := make([]byte, r.Bytes)
		content{r.Key}.fill(b, 0)
		return b
	}
	for _, test := range []struct {
		name   string
		answer func(*net.TCPConn, request)
		end    End
		bytes  int64
		err    string
	}{
		{"whole", func(c *net.TCPConn, r request) { _, _ = c.Write(whole(r)) }, Completed, 1000, ""},
		{"cut", func(c *net.TCPConn, r request) { _, _ = c.Write(whole(r)[:999]) }, Reset, 999, "after 999 of 1000 bytes: connection ended before the answer"},
		{"reset", func(c *net.TCPConn, r request) { _ = c.SetLinger(0) }, Reset, 0, "connection reset by peer"},
		{"stalled", func(c *net.TCPConn, r request) { _, _ = c.Write(whole(r)[:500]); _, _ = io.Copy(io.Discard, c) }, Stalled, 500, "after 500 of 1000 bytes: read tcp"},
		{"silent", func(c *net.TCPConn, r request) { _, _ = io.Copy(io.Discard, c) }, Stalled, 0, "after 0 of 1000 bytes: read tcp"},
		{"another's", func(c *net.TCPConn, r request) { r.Key++; _, _ = c.Write(whole(r)) }, Corrupt, 0, "corrupt: bytes "},
		{"a piece missing", func(c *net.TCPConn, r request) { b := whole(r); _, _ = c.Write(append(b[:100:100], b[108:]...)) }, Corrupt, 0, "bytes at 96: found "},
		{"too long", func(c *net.TCPConn, r request) { r.Bytes++; _, _ = c.Write(whole(r)) }, Corrupt, 0, "corrupt: found more than the 1000 bytes that were requested"},
		{"refused", nil, Refused, 0, "connect: dial tcp "},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := gone
			if test.answer != nil {
				target = fakeServer(t, test.answer)
			}
			stall := 20 * time.Second
			if test.end == Stalled {
				stall = time.Second // in which what is sent must be here
			}
			report, err := Run(t.Context(), Options{Target: target, Rate: 8000, Length: time.Second, Stall: stall})
			require.NoError(t, err)
			d := report.Downloads[0]
			assert.Equal(t, test.end, d.End, d.Error)
			assert.Equal(t, test.bytes, d.Bytes)
			assert.Contains(t, d.Error, test.err)
			if test.end == Stalled {
				assert.GreaterOrEqual(t, d.LongestGap, stall)
			}
		})
	}
}

func TestServerRefuses(t *testing.T) {
	server, _, at := runServer(t)
	for i, line := range []string{"GET / HTTP/1.1\n", `{"bytes":0,"rate":1}` + "\n", `{"bytes":1,"rate":-1}` + "\n"} {
		conn, err := net.Dial("tcp", at[0].String())
		require.NoError(t, err)
		_, err = io.WriteString(conn, line)
		require.NoError(t, err)
		b, err := io.ReadAll(conn)
		require.NoError(t, err)
		assert.Empty(t, b)
		conn.Close()
		require.Eventually(t, func() bool { return server.Report().Refused == i+1 }, time.Minute, time.Millisecond)
	}
}

func TestValidate(t *testing.T) {
	o := Options{Count: -1, Stall: -1, Dialer: workload.Dialer{Source: netip.MustParseAddrPort("127.0.0.1:5")}}
	assert.EqualError(t, o.Validate(), "missing target (want ADDR:PORT or [ADDR6]:PORT)\ncount: found -1 (want 1 to 4096)\n"+
		"source port: found 5 (want none for several downloads, which can't share it)\nlength: found 0s (want more than 0)\nduration, stall, timeout: found 0s, -1ns, 0s (want 0 or more)")
	o = Options{Target: netip.MustParseAddrPort("127.0.0.1:5"), Length: 1}
	assert.EqualError(t, o.Validate(), "bytes: found 0 (want 1 to 1099511627776)\nrate: found 0 (want more than 0 and at most 10000000000 bit/s)")
}

// The pace holds for rates that need small chunks and for those that need many.
func TestChunks(t *testing.T) {
	for rate, want := range map[float64]int{8: 1, 80_000: 2000, 1e9: maxChunk} {
		assert.Equal(t, want, request{Rate: rate}.chunk())
	}
	assert.Equal(t, time.Second, request{Rate: 80_000}.due(10_000))
}

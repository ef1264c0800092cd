package inference

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/arrival"
	"github.com/dsrlab/dsrlab/labs/workload/deadport"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// runServer serves until the test ends and returns the address on IPv4 and IPv6 loopback.
func runServer(t *testing.T, o Options) (*Server, []netip.AddrPort) {
	t.Helper()
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	servers := workload.Run(context.Background(), s)
	t.Cleanup(func() { require.NoError(t, servers.Close()) })
	port := s.Listening().Address.Port()
	return s, []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), netip.AddrPortFrom(netip.IPv6Loopback(), port)}
}

func TestLoadShapes(t *testing.T) {
	server, at := runServer(t, Options{})
	var in, out int64
	for i, shape := range Shapes() {
		t.Run(shape.Name, func(t *testing.T) {
			require.NoError(t, shape.Validate())
			shape.TokenRate *= 40 // so that the test takes less time; the pace is TestLoadStream's
			report, err := Load(t.Context(), LoadOptions{
				Target: at[i%2], Shape: shape, KeepAlive: i < 2,
				Process: arrival.Process{Loop: arrival.Closed, Workers: 2, Count: 4, Seed: 5},
			})
			require.NoError(t, err)
			require.Equal(t, map[workload.Outcome]int{workload.OutcomeOK: 4}, report.Outcomes, "%+v", report.Samples)
			assert.Zero(t, report.Errors)
			require.Len(t, report.Samples, 4)
			for j, sample := range report.Samples {
				assert.Equal(t, j, sample.Index)
				assert.Equal(t, sample.Request, sample.BytesOut)
				assert.Equal(t, sample.Response, sample.BytesIn)
				assert.True(t, shape.Request.Min <= sample.Request && sample.Request <= shape.Request.Max)
				assert.True(t, shape.Response.Min <= sample.Response && sample.Response <= shape.Response.Max)
				assert.Positive(t, sample.FirstByte)
				assert.GreaterOrEqual(t, sample.Completion, sample.FirstByte)
				assert.Equal(t, at[i%2].Addr(), sample.Local.Addr())
			}
			assert.Equal(t, 4, report.FirstByte.Count)
			assert.Equal(t, 4, report.Completion.Count)
			assert.GreaterOrEqual(t, report.Completion.P50, report.FirstByte.P50)
			assert.Positive(t, report.Rate)
			assert.InDelta(t, 8*float64(report.BytesIn)/report.Arrival.Elapsed.Seconds(), report.PayloadRateIn, 1)
			in, out = in+report.BytesOut, out+report.BytesIn
		})
	}
	require.Eventually(t, func() bool { return server.Report().Requests == 16 }, time.Minute, time.Millisecond)
	got := server.Report()
	assert.Equal(t, in, got.BytesIn, "the server counts what the clients sent")
	assert.Equal(t, out, got.BytesOut)
	assert.Equal(t, [2]int{0, 0}, [2]int{got.Aborted, got.Refused})
}

// A stream can't be faster than its rate, and its time per token is from the first token to the last: what comes before is not part
// of it.
func TestLoadStream(t *testing.T) {
	_, at := runServer(t, Options{})
	shape := Shape{Name: "stream", Request: Exactly(0), Response: Exactly(1030), Token: 100, TokenRate: 200, Compute: 20 * time.Millisecond}
	report, err := Load(t.Context(), LoadOptions{Target: at[0], Shape: shape, Process: arrival.Process{Loop: arrival.Open, Rate: 100, Count: 5, Seed: 1}})
	require.NoError(t, err)
	require.Equal(t, map[workload.Outcome]int{workload.OutcomeOK: 5}, report.Outcomes, "%+v", report.Samples)
	for _, sample := range report.Samples {
		assert.EqualValues(t, 10, sample.Tokens)
		assert.GreaterOrEqual(t, sample.FirstByte, 20*time.Millisecond, "the model thinks first")
		assert.GreaterOrEqual(t, sample.Completion, 65*time.Millisecond, "nine gaps of 5 ms and the thinking")
		assert.Positive(t, sample.TPOT)
		assert.LessOrEqual(t, 9*sample.TPOT, sample.Completion-sample.FirstByte)
		assert.Positive(t, sample.Pace, "the server's trailer came")
	}
	assert.Equal(t, 5, report.TPOT.Count)
	assert.Equal(t, 5, report.Pace.Count)
}

func TestStreamOfOneToken(t *testing.T) {
	_, at := runServer(t, Options{})
	shape := Shape{Response: Exactly(100), Token: 100, TokenRate: 1}
	report, err := Load(t.Context(), LoadOptions{Target: at[0], Shape: shape, Process: arrival.Process{Loop: arrival.Closed, Workers: 1, Count: 1}})
	require.NoError(t, err)
	require.Zero(t, report.Errors, "%+v", report.Samples)
	assert.Zero(t, report.Samples[0].TPOT, "there is no time between one token")
	assert.Zero(t, report.TPOT)
	_, _, ok := report.OffPace()
	assert.False(t, ok)
}

func TestPacer(t *testing.T) {
	const ms = time.Millisecond
	p := pacer{rate: 100}
	assert.Equal(t, []time.Duration{0, 10 * ms, 1000 * ms}, []time.Duration{p.offset(0), p.offset(1), p.offset(100)}, "no drift")
	assert.Equal(t, 10*ms, p.interval(101))
	p.first, p.last = 2*ms, 12*ms
	assert.Equal(t, 10*ms+ms/10, p.interval(101))
	p.first, p.last = 12*ms, 2*ms
	assert.Equal(t, 10*ms-ms/10, p.interval(101), "a late begin makes it seem faster")
	assert.Zero(t, p.interval(1))

	// A token that had to wait until the network took the one before is not late for that.
	p = pacer{rate: 1, began: time.Now().Add(-time.Hour)}
	p.free = time.Now().Add(time.Minute)
	require.NoError(t, p.wait(t.Context(), 5))
	assert.Less(t, p.last, time.Duration(0))
	p.free = time.Time{}
	require.NoError(t, p.wait(t.Context(), 5))
	assert.Greater(t, p.last, 59*time.Minute)
	assert.Zero(t, p.first)
}

func TestOffPace(t *testing.T) {
	ok := func(pace time.Duration) Sample {
		return Sample{Outcome: workload.OutcomeOK, TPOT: time.Millisecond, Pace: pace}
	}
	for name, test := range map[string]struct {
		samples       []Sample
		median, worst float64
		ok            bool
	}{
		"none":         {},
		"as asked":     {[]Sample{ok(10 * time.Millisecond)}, 0, 0, true},
		"late":         {[]Sample{ok(10 * time.Millisecond), ok(11 * time.Millisecond), ok(15 * time.Millisecond)}, 0.1, 0.5, true},
		"early":        {[]Sample{ok(9 * time.Millisecond)}, 0.1, 0.1, true},
		"failed":       {[]Sample{ok(10 * time.Millisecond), {Outcome: workload.OutcomeReset}}, 0, 0, true},
		"not told":     {[]Sample{ok(0)}, 0, 0, false},
		"told by some": {[]Sample{ok(10 * time.Millisecond), ok(0)}, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReport(&LoadOptions{Shape: Shape{TokenRate: 100}}, arrival.Report{}, test.samples)
			median, worst, ok := r.OffPace()
			assert.InDelta(t, test.median, median, 1e-9)
			assert.InDelta(t, test.worst, worst, 1e-9)
			assert.Equal(t, test.ok, ok)
		})
	}
}

func TestLoadIsSeeded(t *testing.T) {
	_, at := runServer(t, Options{})
	shape := Shape{Name: "small", Request: Range{1, 1000}, Response: Range{1, 1000}}
	sizes := func(seed uint64, p arrival.Process) (all [][2]int64) {
		p.Seed = seed
		report, err := Load(t.Context(), LoadOptions{Target: at[0], Shape: shape, Process: p})
		require.NoError(t, err)
		for _, sample := range report.Samples {
			all = append(all, [2]int64{sample.Request, sample.Response})
		}
		return all
	}
	open, closed := arrival.Process{Loop: arrival.Open, Rate: 2000, Count: 30}, arrival.Process{Loop: arrival.Closed, Workers: 5, Count: 30}
	first := sizes(1, open)
	require.Len(t, first, 30)
	assert.Equal(t, first, sizes(1, open))
	assert.Equal(t, first, sizes(1, closed), "sizes don't depend on when requests are made")
	assert.NotEqual(t, first, sizes(2, open))
}

// While the server stands still, requests go on being due, and their latency counts from then on. A load that waited for
// answers would never see this server's first: it answers when all requests are there.
func TestOpenLoopMeasuresFromDue(t *testing.T) {
	const stall = 50 * time.Millisecond
	process := arrival.Process{Loop: arrival.Open, Rate: 200, Count: 20, Seed: 3}
	var last time.Duration
	for _, due := range process.Times() {
		last = due
	}
	var here sync.WaitGroup
	here.Add(process.Count)
	web, err := workload.OpenWeb(t.Context(), workload.WebOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		here.Done()
		here.Wait()
		time.Sleep(stall)
		w.Header().Set(requestBytes, fmt.Sprint(n))
		_, _ = w.Write(make([]byte, 10))
	})})
	require.NoError(t, err)
	servers := workload.Run(context.Background(), web)
	defer servers.Close()
	report, err := Load(t.Context(), LoadOptions{
		Target:  netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), web.Listening().Address.Port()),
		Shape:   Shape{Request: Exactly(10), Response: Exactly(10)},
		Process: process,
	})
	require.NoError(t, err)
	require.Zero(t, report.Errors, "%+v", report.Samples)
	assert.Equal(t, process.Count, report.Arrival.MaxInFlight, "none waited for another")
	for _, sample := range report.Samples {
		assert.GreaterOrEqual(t, sample.Completion+sample.Due, last+stall, "each waited since it was due")
	}
}

func TestLoadFailures(t *testing.T) {
	gone := deadport.Open(t)
	process := arrival.Process{Loop: arrival.Closed, Workers: 1, Count: 3}
	shape := Shape{Request: Exactly(10), Response: Exactly(10)}
	report, err := Load(t.Context(), LoadOptions{Target: gone, Shape: shape, Process: process})
	require.NoError(t, err)
	assert.Equal(t, map[workload.Outcome]int{workload.OutcomeRefused: 3}, report.Outcomes)
	assert.Equal(t, 3, report.Errors)
	assert.Zero(t, report.Completion)
	assert.Zero(t, report.Rate)

	server, at := runServer(t, Options{})
	shape.Compute = time.Hour / 10
	report, err = Load(t.Context(), LoadOptions{Target: at[0], Shape: shape, Process: process, Timeout: 30 * time.Millisecond})
	require.NoError(t, err)
	assert.Equal(t, map[workload.Outcome]int{workload.OutcomeTimeout: 3}, report.Outcomes, "%+v", report.Samples)
	assert.Zero(t, server.Report().Requests)

	for name, body := range map[string]string{
		"reset":    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
		"tokens":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nid: 0\ndata: tt\n\n\r\n0\r\n\r\n",
		"sequence": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nid: 1\ndata: tt\n\n\r\n0\r\n\r\n",
		"status":   "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
		"short":    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345",
	} {
		t.Run(name, func(t *testing.T) {
			shape := Shape{Request: Exactly(0), Response: Exactly(10)}
			if name == "tokens" || name == "sequence" {
				shape = Shape{Request: Exactly(0), Response: Exactly(100), Token: 32, TokenRate: 1000}
			}
			report, err := Load(t.Context(), LoadOptions{Target: fakeServer(t, body), Shape: shape, Process: arrival.Process{Loop: arrival.Closed, Workers: 1, Count: 1}})
			require.NoError(t, err)
			want := map[string]struct {
				outcome workload.Outcome
				text    string
			}{
				"reset":    {workload.OutcomeReset, "read response: connection ended before the answer: unexpected EOF"},
				"tokens":   {workload.OutcomeReset, "read response: connection ended before the answer: stream ended after token 1 of 3: unexpected EOF"},
				"sequence": {workload.OutcomeError, "read response: token: found number 1 (want 0)"},
				"status":   {workload.OutcomeError, "found status 503 Service Unavailable (want 200): busy"},
				"short":    {workload.OutcomeError, "response: found 5 bytes (want 10)"},
			}[name]
			assert.Equal(t, want.outcome, report.Samples[0].Outcome)
			assert.Equal(t, want.text, report.Samples[0].Error)
		})
	}
}

// A client that leaves ends the model's work.
func TestServerNoticesThatClientLeft(t *testing.T) {
	server, at := runServer(t, Options{})
	conn, err := net.Dial("tcp", at[0].String())
	require.NoError(t, err)
	_, err = io.WriteString(conn, "POST /infer?response=10&compute=600 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
	require.NoError(t, err)
	conn.Close()
	require.Eventually(t, func() bool { return server.Report().Aborted == 1 }, time.Minute, time.Millisecond)
	assert.EqualValues(t, 3, server.Report().BytesIn)
}

// fakeServer answers one request with bytes of its own and hangs up.
func fakeServer(t *testing.T, answer string) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var got []byte
		buffer := make([]byte, 4096)
		for !bytes.Contains(got, []byte("\r\n\r\n")) {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			got = append(got, buffer[:n]...)
		}
		_, _ = io.WriteString(conn, answer)
	}()
	return workload.AddrPortOf(listener.Addr())
}

func TestServerRefuses(t *testing.T) {
	server, at := runServer(t, Options{})
	for query, want := range map[string]string{
		"":                              `response: found "" (want 1 to 1073741824 bytes)`,
		"response=x&rate=y&compute=-1":  "response: found \"x\" (want 1 to 1073741824 bytes)\nrate: found \"y\" (want tokens per second)\ncompute: found \"-1\" (want 0 to 600 seconds)",
		"response=10&token=1&rate=1":    "token: found 1 bytes (want 32 to 32768)",
		"response=100&token=50":         "token rate: found 0 (want more than 0 and at most 100000 per second)",
		"response=100&token=50&rate=-1": "token rate: found -1 (want more than 0 and at most 100000 per second)",
	} {
		response, err := http.Post(fmt.Sprintf("http://%s/infer?%s", at[1], query), "", strings.NewReader(""))
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		response.Body.Close()
		assert.Equal(t, http.StatusBadRequest, response.StatusCode)
		assert.Equal(t, want+"\n", string(body))
	}
	assert.Equal(t, 5, server.Report().Refused)
}

func TestServerBehindProxyProtocol(t *testing.T) {
	_, at := runServer(t, Options{ProxyProtocol: proxyproto.Policy{Require: true}})
	report, err := Load(t.Context(), LoadOptions{Target: at[0], Shape: Shape{Response: Exactly(10)}, Process: arrival.Process{Loop: arrival.Closed, Workers: 1, Count: 1}})
	require.NoError(t, err)
	assert.Equal(t, map[workload.Outcome]int{workload.OutcomeReset: 1}, report.Outcomes)
}

func TestErrors(t *testing.T) {
	_, err := ShapeNamed("audio")
	assert.EqualError(t, err, `unknown shape "audio" (want one of llm, image, embeddings, video)`)
	for want, shape := range map[string]Shape{
		"request: found 2 to 1 bytes (want a range between 0 and 1073741824)\nresponse: found 0 to 0 bytes (want a range between 1 and 1073741824)\ncompute time: found -1ns (want 0 to 10m0s)": {Request: Range{2, 1}, Compute: -1},
		"token rate: found 0 (want more than 0 and at most 100000 per second)": {Response: Exactly(100), Token: 50},
		"response: found 50 bytes (want at least a token of 100)":              {Response: Range{50, 200}, Token: 100, TokenRate: 1},
		"token: found 0 bytes (want 32 to 32768)":                              {Response: Exactly(100), TokenRate: 1},
	} {
		assert.EqualError(t, shape.Validate(), want)
	}
	_, err = Load(t.Context(), LoadOptions{Shape: Shape{Response: Exactly(1)}, Process: arrival.Process{Loop: arrival.Closed, Workers: 1, Count: 1}, Timeout: -1})
	assert.EqualError(t, err, "missing target (want ADDR:PORT or [ADDR6]:PORT)\ntimeout: found -1ns (want 0 or more)")
}

// Events are of the size that was asked for, to the byte, whatever the number in them.
func TestAppendEvent(t *testing.T) {
	for _, size := range []int64{MinToken, 33, 200} {
		for _, i := range []int64{0, 9, 10, maxBody / MinToken} {
			event := string(appendEvent(nil, i, size))
			assert.Len(t, event, int(size))
			assert.True(t, strings.HasPrefix(event, fmt.Sprintf("id: %d\ndata: t", i)), event)
			assert.True(t, strings.HasSuffix(event, "t\n\n"))
		}
	}
}

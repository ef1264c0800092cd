package tcpproxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/deadport"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

var (
	v4 = netip.MustParseAddr("127.0.0.1")
	v6 = netip.IPv6Loopback()
)

// run serves until the test ends and returns the port.
func run(t *testing.T, server workload.Server) uint16 {
	t.Helper()
	servers := workload.Run(context.Background(), server)
	t.Cleanup(func() { require.NoError(t, servers.Close()) })
	return server.Listening().Address.Port()
}

func runEcho(t *testing.T, parse bool) (*workload.Echo, uint16) {
	t.Helper()
	echo, err := workload.OpenEcho(t.Context(), nil, nil, workload.EchoOptions{ProxyProtocol: proxyproto.Policy{Require: parse}})
	require.NoError(t, err)
	return echo, run(t, echo)
}

func runProxy(t *testing.T, o Options) (*Proxy, uint16) {
	t.Helper()
	proxy, err := Open(t.Context(), o)
	require.NoError(t, err)
	return proxy, run(t, proxy)
}

func connect(t *testing.T, o workload.ConnectOptions) workload.Seen {
	t.Helper()
	o.Protocol, o.Detail = workload.TCP, true
	report, err := workload.Connect(t.Context(), o)
	require.NoError(t, err)
	return report.Connections[0]
}

// ended waits until the proxy has reported n connections.
func ended(t *testing.T, p *Proxy, n int) Report {
	t.Helper()
	require.Eventually(t, func() bool { return p.Report().Connections == n }, time.Minute, time.Millisecond)
	return p.Report()
}

func TestProxySendsHeader(t *testing.T) {
	_, echo := runEcho(t, true)
	for _, at := range []netip.Addr{v4, v6} {
		for _, version := range []proxyproto.Version{proxyproto.V1, proxyproto.V2} {
			t.Run(fmt.Sprintf("%s v%d", at, version), func(t *testing.T) {
				upstream := netip.AddrPortFrom(at, echo)
				proxy, port := runProxy(t, Options{Upstreams: []netip.AddrPort{upstream}, Send: version})
				seen := connect(t, workload.ConnectOptions{Target: netip.AddrPortFrom(at, port)})
				require.Equal(t, workload.OutcomeOK, seen.Outcome, seen.Error)
				assert.Equal(t, seen.Local, seen.Seen, "the header has the client")
				assert.True(t, seen.Preserved)
				want := &proxyproto.Header{Version: version, Command: proxyproto.Proxy, Source: seen.Local, Destination: netip.AddrPortFrom(at, port)}
				assert.Equal(t, want, seen.ProxyHeader)

				report := ended(t, proxy, 1)
				entry := report.Entries[0]
				assert.Equal(t, seen.Local, entry.Peer.Seen)
				assert.Equal(t, entry.Local, seen.Socket, "the socket has the proxy")
				assert.Equal(t, upstream, entry.Upstream)
				assert.Equal(t, want, entry.Sent)
				assert.EqualValues(t, len("who am i, in detail\n"), report.BytesUp)
				assert.Positive(t, report.BytesDown)
				assert.Empty(t, entry.Error)
			})
		}
	}
}

func TestProxyCarriesHTTP(t *testing.T) {
	_, echo := runEcho(t, true)
	_, port := runProxy(t, Options{Upstreams: []netip.AddrPort{netip.AddrPortFrom(v4, echo)}, Send: proxyproto.V2})
	got, err := workload.Get(t.Context(), workload.GetOptions{URL: fmt.Sprintf("http://127.0.0.1:%d/", port), Count: 3, KeepAlive: true, Concurrency: 1})
	require.NoError(t, err)
	assert.Equal(t, 3, got.Preserved, "%+v", got.Responses)
}

// An application that doesn't parse the header breaks: it answers the header, and its client's request comes back as input.
func TestProxyToApplicationThatDoesNotParse(t *testing.T) {
	for _, version := range []proxyproto.Version{proxyproto.V1, proxyproto.V2} {
		echo, port := runEcho(t, false)
		_, at := runProxy(t, Options{Upstreams: []netip.AddrPort{netip.AddrPortFrom(v4, port)}, Send: version})
		seen := connect(t, workload.ConnectOptions{Target: netip.AddrPortFrom(v4, at)})
		assert.Equal(t, workload.OutcomeGarbled, seen.Outcome)
		got, err := workload.Get(t.Context(), workload.GetOptions{URL: fmt.Sprintf("http://127.0.0.1:%d/", at)})
		require.NoError(t, err)
		assert.Equal(t, map[workload.Outcome]int{workload.OutcomeError: 1}, got.Outcomes)
		assert.NotEmpty(t, got.Responses[0].Error, "malformed, or before its request was sent")
		report := echo.Report()
		assert.Equal(t, 2, report.Garbled)
		assert.Equal(t, version, report.Garbage[0].Version)

		var served atomic.Int64
		web, err := workload.OpenWeb(t.Context(), workload.WebOptions{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) })})
		require.NoError(t, err)
		_, at = runProxy(t, Options{Upstreams: []netip.AddrPort{netip.AddrPortFrom(v4, run(t, web))}, Send: version})
		got, err = workload.Get(t.Context(), workload.GetOptions{URL: fmt.Sprintf("http://127.0.0.1:%d/", at)})
		require.NoError(t, err)
		// It says bad request; a client that has not sent its request yet takes an answer for an error of the connection.
		assert.Zero(t, got.Statuses[http.StatusOK], "%+v", got.Responses)
		assert.Zero(t, served.Load(), "a web server does not see the request")
	}
}

func TestProxyChain(t *testing.T) {
	_, echo := runEcho(t, true)
	_, inner := runProxy(t, Options{Upstreams: []netip.AddrPort{netip.AddrPortFrom(v4, echo)}, Send: proxyproto.V2,
		Accept: proxyproto.Policy{Require: true, From: []netip.Prefix{netip.MustParsePrefix("127.0.0.20/32")}}})
	_, edge := runProxy(t, Options{Upstreams: []netip.AddrPort{netip.AddrPortFrom(v4, inner)}, Send: proxyproto.V1,
		Dialer: workload.Dialer{Source: netip.MustParseAddrPort("127.0.0.20:0")}})
	seen := connect(t, workload.ConnectOptions{Target: netip.AddrPortFrom(v4, edge)})
	assert.Equal(t, seen.Local, seen.Seen)
	assert.Equal(t, proxyproto.V2, seen.ProxyHeader.Version)
	assert.Equal(t, netip.AddrPortFrom(v4, edge), seen.ProxyHeader.Destination, "what the client called")

	spoof := &proxyproto.Header{Version: proxyproto.V1, Command: proxyproto.Proxy, Source: netip.MustParseAddrPort("6.6.6.6:6")}
	seen = connect(t, workload.ConnectOptions{Target: netip.AddrPortFrom(v4, inner), ProxyHeader: spoof})
	assert.Equal(t, workload.OutcomeReset, seen.Outcome, "only the edge is believed")
	from := workload.Dialer{Source: netip.MustParseAddrPort("127.0.0.20:0")}
	seen = connect(t, workload.ConnectOptions{Dialer: from, Target: netip.AddrPortFrom(v4, inner), ProxyHeader: &proxyproto.Header{Version: proxyproto.V1, Command: proxyproto.Local}})
	assert.Equal(t, proxyproto.Local, seen.ProxyHeader.Command, "LOCAL goes on as LOCAL")
}

func TestProxyCarriesAllBytes(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() { // sends back what it got when it has got all
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		b, _ := io.ReadAll(conn)
		_, _ = conn.Write(b)
	}()
	proxy, port := runProxy(t, Options{Upstreams: []netip.AddrPort{workload.AddrPortOf(listener.Addr())}})
	conn, err := net.Dial("tcp", netip.AddrPortFrom(v4, port).String())
	require.NoError(t, err)
	defer conn.Close()
	sent := make([]byte, 3<<20)
	_, _ = rand.Read(sent)
	_, err = conn.Write(sent)
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(sent, got))
	report := ended(t, proxy, 1)
	assert.EqualValues(t, len(sent), report.BytesUp)
	assert.EqualValues(t, len(sent), report.BytesDown)
	assert.Nil(t, report.Entries[0].Sent)
}

func TestProxyFailures(t *testing.T) {
	gone := deadport.Open(t)
	_, echo := runEcho(t, true)
	alive := netip.AddrPortFrom(v4, echo)

	proxy, port := runProxy(t, Options{Upstreams: []netip.AddrPort{gone}, Send: proxyproto.V1})
	seen := connect(t, workload.ConnectOptions{Target: netip.AddrPortFrom(v4, port)})
	assert.Equal(t, workload.OutcomeReset, seen.Outcome)
	report := ended(t, proxy, 1)
	assert.Equal(t, 1, report.Failed)
	assert.Contains(t, report.Entries[0].Error, "no upstream accepted the connection: dial tcp "+gone.String())

	proxy, port = runProxy(t, Options{Upstreams: []netip.AddrPort{gone, alive}, Send: proxyproto.V1, CheckEvery: 5 * time.Millisecond})
	for range 4 {
		seen := connect(t, workload.ConnectOptions{Target: netip.AddrPortFrom(v4, port)})
		assert.Equal(t, workload.OutcomeOK, seen.Outcome, seen.Error)
	}
	assert.Equal(t, map[netip.AddrPort]int{alive: 4}, ended(t, proxy, 4).Upstreams)
	require.Eventually(t, func() bool { checks := proxy.Report().Checks; return checks[alive].Count > 1 && checks[gone].Count > 1 },
		10*time.Second, time.Millisecond)
	assert.Empty(t, proxy.Report().Checks[alive].Error)
	assert.Contains(t, proxy.Report().Checks[gone].Error, "connection refused")
	assert.Equal(t, []netip.AddrPort{alive, gone}, proxy.pool.inTurn())
	assert.Equal(t, []netip.AddrPort{alive, gone}, proxy.pool.inTurn(), "what is down comes last")
}

// The proxy's own connections say so, and the application does not take them for a client's.
func TestProxyChecksAreLocal(t *testing.T) {
	for _, version := range []proxyproto.Version{proxyproto.V1, proxyproto.V2} {
		echo, port := runEcho(t, true)
		runProxy(t, Options{Upstreams: []netip.AddrPort{netip.AddrPortFrom(v4, port)}, Send: version, CheckEvery: time.Hour})
		require.Eventually(t, func() bool { return echo.Report().ProxyHeaders == 1 }, time.Minute, time.Millisecond)
		assert.Empty(t, echo.Report().Refused)
	}
}

// A connection that breaks on one side breaks on the other, rather than ending as if all was said.
func TestProxyCarriesReset(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	proxy, port := runProxy(t, Options{Upstreams: []netip.AddrPort{workload.AddrPortOf(listener.Addr())}})
	conn, err := net.Dial("tcp", netip.AddrPortFrom(v4, port).String())
	require.NoError(t, err)
	defer conn.Close()
	upstream, err := listener.Accept()
	require.NoError(t, err)
	_, err = conn.Write([]byte("hello"))
	require.NoError(t, err)
	_, err = io.ReadFull(upstream, make([]byte, 5))
	require.NoError(t, err)
	require.NoError(t, upstream.(*net.TCPConn).SetLinger(0))
	upstream.Close()
	_, err = conn.Read(make([]byte, 1))
	assert.ErrorContains(t, err, "connection reset by peer")
	assert.Contains(t, ended(t, proxy, 1).Entries[0].Error, "relay to ")
}

func TestOpenErrors(t *testing.T) {
	_, err := Open(t.Context(), Options{Send: 3, CheckEvery: -1, Accept: proxyproto.Policy{Timeout: 1}})
	assert.EqualError(t, err, "start tcpproxy server: PROXY protocol: found trusted proxies or a timeout (want them only where a header is required)\n"+
		"missing upstream (want ADDR:PORT or [ADDR6]:PORT)\nPROXY protocol version: found 3 (want 1, 2 or 0 for none)\n"+
		"timeout, check interval: found 0s, -1ns (want 0 or more)")
}

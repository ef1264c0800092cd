package l7proxy

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
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

func runEcho(t *testing.T) uint16 {
	t.Helper()
	echo, err := workload.OpenEcho(t.Context(), nil, nil, workload.EchoOptions{})
	require.NoError(t, err)
	return run(t, echo)
}

func runProxy(t *testing.T, o Options) (*Proxy, uint16) {
	t.Helper()
	proxy, err := Open(t.Context(), o)
	require.NoError(t, err)
	return proxy, run(t, proxy)
}

// get asks an echo server, through proxies, what it sees.
func get(t *testing.T, from, to netip.Addr, port uint16, header http.Header) (workload.HTTPSeen, workload.Response) {
	t.Helper()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Accept", "application/json")
	report, err := workload.Get(t.Context(), workload.GetOptions{
		Dialer: workload.Dialer{Source: netip.AddrPortFrom(from, 0)}, Header: header,
		URL: fmt.Sprintf("http://%s/path?q=1", netip.AddrPortFrom(to, port)),
	})
	require.NoError(t, err)
	response := report.Responses[0]
	require.Equal(t, http.StatusOK, response.Status, response.Body+response.Error)
	var seen workload.HTTPSeen
	require.NoError(t, json.Unmarshal([]byte(response.Body), &seen))
	return seen, response
}

func TestProxyTellsClient(t *testing.T) {
	echo := runEcho(t)
	for _, to := range []netip.Addr{v4, v6} {
		proxy, port := runProxy(t, Options{Upstreams: []netip.AddrPort{netip.AddrPortFrom(to, echo)},
			Dialer: workload.Dialer{Source: netip.AddrPortFrom(to, 0)}})
		from := to
		if to == v4 {
			from = netip.MustParseAddr("127.0.0.10")
		}
		seen, response := get(t, from, to, port, nil)
		assert.Equal(t, []string{from.String()}, seen.XForwardedFor)
		host := netip.AddrPortFrom(to, port).String()
		for_ := map[netip.Addr]string{v4: "127.0.0.10", v6: `"[::1]"`}[to]
		by := map[netip.Addr]string{v4: "127.0.0.1", v6: `"[::1]"`}[to]
		assert.Equal(t, []string{fmt.Sprintf(`for=%s;by=%s;host=%q;proto=http`, for_, by, host)}, seen.Forwarded)
		assert.Equal(t, host, seen.Host)
		assert.Equal(t, "/path?q=1", seen.Path)
		assert.Equal(t, to, seen.Socket.Addr(), "the socket is the proxy's")
		assert.NotEqual(t, response.Local, seen.Socket)

		report := proxy.Report()
		assert.Equal(t, 1, report.Connections)
		assert.Equal(t, 1, report.Requests)
		assert.Equal(t, map[netip.AddrPort]int{netip.AddrPortFrom(to, echo): 1}, report.Upstreams)
		require.Len(t, report.Entries, 1)
		assert.Equal(t, response.Local, report.Entries[0].Peer.Socket)
		assert.Equal(t, from, report.Entries[0].Client)
	}
}

// What a client claims reaches the application if the proxy believes everybody, and is gone if it doesn't.
func TestProxySpoofing(t *testing.T) {
	upstream := []netip.AddrPort{netip.AddrPortFrom(v4, runEcho(t))}
	client := netip.MustParseAddr("127.0.0.10")
	for _, test := range []struct {
		name      string
		trust     Trust
		xff       []string
		forwarded string // its own element cut off
		realIP    string
		dropped   int
		client    string
	}{
		{"believes all", Trust{All: true}, []string{"6.6.6.6, 7.7.7.7, 127.0.0.10"}, "for=6.6.6.6;x=y, ", "6.6.6.6", 0, "6.6.6.6"},
		{"believes nobody", Trust{}, []string{"127.0.0.10"}, "", "", 3, "127.0.0.10"},
		{"believes proxies, and the client is none", Trust{Proxies: prefixes("10.0.0.0/8")}, []string{"127.0.0.10"}, "", "", 3, "127.0.0.10"},
		{"counts a hop that isn't there", Trust{Hops: 1}, []string{"7.7.7.7, 127.0.0.10"}, "for=6.6.6.6;x=y, ", "6.6.6.6", 1, "7.7.7.7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			proxy, port := runProxy(t, Options{Upstreams: upstream, Trust: test.trust})
			seen, _ := get(t, client, v4, port, http.Header{
				"X-Forwarded-For": {"6.6.6.6", "7.7.7.7"}, "Forwarded": {"for=6.6.6.6;x=y"}, "X-Real-Ip": {"6.6.6.6"},
				"Connection": {"X-Forwarded-For, Forwarded"}, // would have a naive proxy drop its own
			})
			assert.Equal(t, test.xff, seen.XForwardedFor)
			own := fmt.Sprintf(`for=127.0.0.10;by=127.0.0.1;host="127.0.0.1:%d";proto=http`, port)
			assert.Equal(t, []string{test.forwarded + own}, seen.Forwarded)
			assert.Equal(t, test.realIP, seen.Header.Get("X-Real-Ip"))
			report := proxy.Report()
			assert.Equal(t, test.dropped, report.Dropped)
			assert.Equal(t, test.client, report.Entries[0].Client.String())
			assert.Equal(t, []string{"6.6.6.6", "7.7.7.7"}, report.Entries[0].Received.XForwardedFor)
			assert.Equal(t, test.xff, report.Entries[0].Sent.XForwardedFor)
		})
	}
}

func TestProxyChain(t *testing.T) {
	echo := netip.AddrPortFrom(v4, runEcho(t))
	client, edgeAddr := netip.MustParseAddr("127.0.0.10"), netip.MustParseAddr("127.0.0.20")
	spoof := func() http.Header { return http.Header{"X-Forwarded-For": {"6.6.6.6"}, "Forwarded": {"for=6.6.6.6"}} }
	for _, test := range []struct {
		name        string
		edge, inner Trust
		xff         string
		elements    []string // who each element is for
	}{
		{"edge believes nobody, inner one hop", Trust{}, Trust{Hops: 1}, "127.0.0.10, 127.0.0.20", []string{"127.0.0.10", "127.0.0.20"}},
		{"inner knows the edge", Trust{}, Trust{Proxies: prefixes("127.0.0.20/32")}, "127.0.0.10, 127.0.0.20", []string{"127.0.0.10", "127.0.0.20"}},
		{"edge believes all, inner one hop", Trust{All: true}, Trust{Hops: 1}, "127.0.0.10, 127.0.0.20", []string{"127.0.0.10", "127.0.0.20"}},
		{"both believe all", Trust{All: true}, Trust{All: true}, "6.6.6.6, 127.0.0.10, 127.0.0.20", []string{"6.6.6.6", "127.0.0.10", "127.0.0.20"}},
		{"inner believes nobody", Trust{}, Trust{}, "127.0.0.20", []string{"127.0.0.20"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, inner := runProxy(t, Options{Upstreams: []netip.AddrPort{echo}, Trust: test.inner})
			_, edge := runProxy(t, Options{Upstreams: []netip.AddrPort{netip.AddrPortFrom(v4, inner)}, Trust: test.edge,
				Dialer: workload.Dialer{Source: netip.AddrPortFrom(edgeAddr, 0)}})
			seen, _ := get(t, client, v4, edge, spoof())
			assert.Equal(t, []string{test.xff}, seen.XForwardedFor)
			elements, err := ParseForwarded(seen.Forwarded)
			require.NoError(t, err)
			assert.Equal(t, test.elements, forNodes(elements))
		})
	}
}

// It is for HTTP alone: a line of text is answered with 400 and goes no further, and a datagram finds no socket.
func TestProxyIsHTTPOnly(t *testing.T) {
	echo, err := workload.OpenEcho(t.Context(), nil, nil, workload.EchoOptions{})
	require.NoError(t, err)
	upstream := netip.AddrPortFrom(v4, run(t, echo))
	proxy, port := runProxy(t, Options{Upstreams: []netip.AddrPort{upstream}})
	to := netip.AddrPortFrom(v4, port)
	tcp, err := workload.Connect(t.Context(), workload.ConnectOptions{Protocol: workload.TCP, Target: to})
	require.NoError(t, err)
	assert.Equal(t, map[workload.Outcome]int{workload.OutcomeError: 1}, tcp.Outcomes)
	assert.Contains(t, tcp.Connections[0].Error, "400 Bad Request")
	udp, err := workload.Connect(t.Context(), workload.ConnectOptions{Protocol: workload.UDP, Target: to})
	require.NoError(t, err)
	assert.Equal(t, map[workload.Outcome]int{workload.OutcomeRefused: 1}, udp.Outcomes)
	assert.Zero(t, echo.Report().Connections)
	assert.Zero(t, echo.Report().Datagrams)
	assert.Equal(t, 1, proxy.Report().Connections)
	assert.Zero(t, proxy.Report().Requests)
}

func TestProxyUpstreams(t *testing.T) {
	a, b := netip.AddrPortFrom(v4, runEcho(t)), netip.AddrPortFrom(v6, runEcho(t))
	c := deadport.Open(t)
	proxy, port := runProxy(t, Options{Upstreams: []netip.AddrPort{a, c, b}, KeepAlive: 2})
	for range 6 {
		get(t, v4, v4, port, nil)
	}
	report := proxy.Report()
	assert.Equal(t, map[netip.AddrPort]int{a: 2, b: 4}, report.Upstreams)
	assert.Equal(t, map[netip.AddrPort]int{c: 2}, report.PassedOver)
	assert.Zero(t, report.Failed)

	proxy, port = runProxy(t, Options{Upstreams: []netip.AddrPort{c}})
	got, err := workload.Get(t.Context(), workload.GetOptions{URL: fmt.Sprintf("http://127.0.0.1:%d/", port)})
	require.NoError(t, err)
	assert.Equal(t, http.StatusBadGateway, got.Responses[0].Status)
	assert.Contains(t, got.Responses[0].Body, "no upstream answered: dial tcp "+c.String()+": connect: connection refused")
	assert.Equal(t, 1, proxy.Report().Failed)
	assert.Empty(t, proxy.Report().Upstreams)
}

// The two ways to carry an address work together: a PROXY header's source becomes the entry.
func TestProxyBehindProxyProtocol(t *testing.T) {
	_, port := runProxy(t, Options{Upstreams: []netip.AddrPort{netip.AddrPortFrom(v4, runEcho(t))}, ProxyProtocol: proxyproto.Policy{Require: true}})
	conn, err := net.Dial("tcp", netip.AddrPortFrom(v4, port).String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "PROXY TCP4 192.0.2.10 198.51.100.1 40000 80\r\nGET / HTTP/1.0\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(answer), "X-Forwarded-For: 192.0.2.10\nForwarded: for=192.0.2.10;by=127.0.0.1;host=a;proto=http\n")
}

// A stream's pieces are passed on when they come, and a client that leaves ends the request at the upstream.
func TestProxyStreams(t *testing.T) {
	release, left := make(chan struct{}), make(chan struct{})
	web, err := workload.OpenWeb(t.Context(), workload.WebOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-release
		_, _ = io.WriteString(w, "second\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	})})
	require.NoError(t, err)
	_, port := runProxy(t, Options{Upstreams: []netip.AddrPort{netip.AddrPortFrom(v4, run(t, web))}})
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	require.NoError(t, err)
	reader := bufio.NewReader(response.Body)
	line, err := reader.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "first\n", line)
	close(release)
	line, err = reader.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "second\n", line)
	response.Body.Close()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Fatal("the upstream's request goes on")
	}
}

func TestOpenErrors(t *testing.T) {
	_, err := Open(t.Context(), Options{Timeout: -1, Upstreams: []netip.AddrPort{{}}, Trust: Trust{Hops: -1}})
	assert.EqualError(t, err, "start l7proxy server: trusted hops: found -1 (want 0 to 32)\n"+
		"upstream: missing target (want ADDR:PORT or [ADDR6]:PORT)\ntimeout, keep-alive: found -1ns, 0 (want 0 or more)")
	_, err = Open(t.Context(), Options{})
	assert.EqualError(t, err, "start l7proxy server: missing upstream (want ADDR:PORT or [ADDR6]:PORT)")
}

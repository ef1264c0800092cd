package workload

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// runEcho serves an echo server with options until the test ends.
func runEcho(t *testing.T, o EchoOptions) *Echo {
	t.Helper()
	echo, err := OpenEcho(t.Context(), nil, nil, o)
	require.NoError(t, err)
	servers := Run(context.Background(), echo)
	t.Cleanup(func() { require.NoError(t, servers.Close()) })
	return echo
}

func connectOnce(t *testing.T, o ConnectOptions) Seen {
	t.Helper()
	o.Protocol = TCP
	report, err := Connect(t.Context(), o)
	require.NoError(t, err)
	return report.Connections[0]
}

func TestEchoParsesProxyHeader(t *testing.T) {
	echo := runEcho(t, EchoOptions{ProxyProtocol: proxyproto.Policy{Require: true}})
	claimed := map[string]netip.AddrPort{"IPv4": netip.MustParseAddrPort("192.0.2.10:4711"), "IPv6": netip.MustParseAddrPort("[2001:db8::a]:4711")}
	for name, target := range loopbacks(echo.Listening().Address.Port()) {
		for _, version := range []proxyproto.Version{proxyproto.V1, proxyproto.V2} {
			seen := connectOnce(t, ConnectOptions{Target: target, Detail: true,
				ProxyHeader: &proxyproto.Header{Version: version, Command: proxyproto.Proxy, Source: claimed[name]}})
			assert.Equal(t, OutcomeOK, seen.Outcome, seen.Error)
			assert.Equal(t, claimed[name], seen.Seen)
			assert.Equal(t, seen.Local, seen.Socket)
			assert.Equal(t, &proxyproto.Header{Version: version, Command: proxyproto.Proxy, Source: claimed[name], Destination: target}, seen.ProxyHeader)

			seen = connectOnce(t, ConnectOptions{Target: target, Detail: true,
				ProxyHeader: &proxyproto.Header{Version: version, Command: proxyproto.Local}})
			assert.Equal(t, OutcomeOK, seen.Outcome, seen.Error)
			assert.Equal(t, seen.Local, seen.Seen, "the proxy's own connection has the socket's address")
			assert.Equal(t, &proxyproto.Header{Version: version, Command: proxyproto.Local}, seen.ProxyHeader)
		}
		seen := connectOnce(t, ConnectOptions{Target: target})
		assert.Equal(t, OutcomeReset, seen.Outcome, "a client that sends no header is refused")
		assert.Equal(t, OutcomeReset, connectOnce(t, ConnectOptions{Target: target, Detail: true}).Outcome)
	}
	report := echo.Report()
	assert.Equal(t, 12, report.Connections)
	assert.Equal(t, 8, report.ProxyHeaders)
	assert.Equal(t, map[proxyproto.Reason]int{proxyproto.Missing: 4}, report.Refused)
	assert.Zero(t, report.Garbled)
}

// An application that knows nothing of the protocol takes the header for its client's first line.
func TestEchoTakesProxyHeaderForInput(t *testing.T) {
	echo := runEcho(t, EchoOptions{})
	for _, target := range loopbacks(echo.Listening().Address.Port()) {
		for _, version := range []proxyproto.Version{proxyproto.V1, proxyproto.V2} {
			seen := connectOnce(t, ConnectOptions{Target: target, Detail: true, ProxyHeader: &proxyproto.Header{Version: version, Command: proxyproto.Proxy}})
			assert.Equal(t, OutcomeGarbled, seen.Outcome)
			assert.Equal(t, "read answer: server had read something else before the client's line", seen.Error)
			assert.False(t, seen.Preserved)
		}
		seen := connectOnce(t, ConnectOptions{Target: target, Detail: true})
		assert.Equal(t, OutcomeOK, seen.Outcome, seen.Error)
		assert.True(t, seen.Preserved)
		assert.Equal(t, seen.Local, seen.Socket)
		assert.Nil(t, seen.ProxyHeader)
	}
	report := echo.Report()
	assert.Equal(t, 6, report.Connections)
	assert.Equal(t, 4, report.Garbled)
	require.Len(t, report.Garbage, 4)
	inputs := ""
	for _, garbage := range report.Garbage {
		inputs += garbage.Input
	}
	assert.Contains(t, inputs, `"PROXY TCP4 127.0.0.1 127.0.0.1 `)
	assert.Contains(t, inputs, `"PROXY TCP6 ::1 ::1 `)
	assert.Contains(t, inputs, `\r\n\r\n\x00\r\nQUIT\n!\x11\x00\f\x7f\x00\x00\x01`)
}

func TestEchoTrustsProxiesAndWaitsForHeaders(t *testing.T) {
	echo := runEcho(t, EchoOptions{ProxyProtocol: proxyproto.Policy{
		Require: true, From: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, Timeout: 2 * time.Second}})
	target := loopbacks(echo.Listening().Address.Port())["IPv4"]
	header := &proxyproto.Header{Version: proxyproto.V2, Command: proxyproto.Proxy, Source: netip.MustParseAddrPort("192.0.2.10:1")}

	seen := connectOnce(t, ConnectOptions{Target: target, ProxyHeader: header})
	assert.Equal(t, OutcomeReset, seen.Outcome, "a header from elsewhere is not believed")
	seen = connectOnce(t, ConnectOptions{Target: target, ProxyHeader: header, Dialer: Dialer{Source: netip.MustParseAddrPort("127.0.0.2:0")}})
	assert.Equal(t, "192.0.2.10:1", seen.Seen.String())

	conn, err := net.DialTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.2:0")), net.TCPAddrFromAddrPort(target))
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	assert.Error(t, err, "who sends nothing is not waited for")
	assert.Equal(t, map[proxyproto.Reason]int{proxyproto.Untrusted: 1, proxyproto.Late: 1}, echo.Report().Refused)
}

func TestWebBehindProxyProtocol(t *testing.T) {
	web, err := OpenWeb(t.Context(), WebOptions{
		Kind:          "test",
		ProxyProtocol: proxyproto.Policy{Require: true},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"peer": PeerOf(r), "remote": r.RemoteAddr})
		}),
	})
	require.NoError(t, err)
	servers := Run(context.Background(), web)
	defer servers.Close()
	target := loopbacks(web.Listening().Address.Port())["IPv6"]
	conn, err := net.Dial("tcp", target.String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("PROXY TCP6 2001:db8::a 2001:db8::b 40000 80\r\nGET / HTTP/1.0\r\n\r\n"))
	require.NoError(t, err)
	answer := make([]byte, 4096)
	n := 0
	for {
		m, err := conn.Read(answer[n:])
		if n += m; err != nil {
			break
		}
	}
	assert.Contains(t, string(answer[:n]), `"seen":"[2001:db8::a]:40000","socket":"`+conn.LocalAddr().String()+`"`)
	assert.Contains(t, string(answer[:n]), `"remote":"[2001:db8::a]:40000"`)

	got, err := Get(t.Context(), GetOptions{URL: "http://" + target.String()})
	require.NoError(t, err)
	assert.Equal(t, 1, got.Outcomes[OutcomeReset], "%+v", got.Responses)
	assert.Equal(t, WebCounts{Connections: 2, Refused: map[proxyproto.Reason]int{proxyproto.Missing: 1}}, web.Counts())
}

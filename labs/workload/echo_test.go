package workload

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEchoLines(t *testing.T) {
	port, log := startServer(t, KindEcho)
	for name, target := range loopbacks(port) {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", target.String())
			require.NoError(t, err)
			defer conn.Close()
			reader := bufio.NewReader(conn)
			exchange := func(send, want string) {
				t.Helper()
				_, err := io.WriteString(conn, send)
				require.NoError(t, err)
				line, err := reader.ReadString('\n')
				require.NoError(t, err)
				assert.Equal(t, want, line)
			}
			exchange("hello\n", conn.LocalAddr().String()+"\n")
			exchange("second\n", "second\n")
			exchange("GET / HTTP/1.1\n", "GET / HTTP/1.1\n") // only the first line decides
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			rest, err := io.ReadAll(reader)
			require.NoError(t, err)
			assert.Empty(t, rest)

			entries := log.entries(t, "seen")
			entry := entries[len(entries)-1]
			assert.Equal(t, conn.LocalAddr().String(), entry["seen"])
			assert.Equal(t, target.String(), entry["local"])
			assert.Equal(t, "echo", entry["server"])
			assert.Equal(t, "line", entry["spoke"])
		})
	}
}

func TestEchoFirstBytes(t *testing.T) {
	port, _ := startServer(t, KindEcho)
	long := strings.Repeat("x", maxFirstLine+10)
	for _, test := range []struct {
		name, send, want string // want follows the address line
	}{
		{"nothing then end", "", ""},
		{"no newline then end", "hello", "hello"},
		{"line too long to be HTTP", long + "\n", long + "\n"},
		{"two lines at once", "one\ntwo\n", "two\n"},
		{"not quite HTTP", "GET /\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", loopbacks(port)["IPv4"].String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, test.send)
			require.NoError(t, err)
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			got, err := io.ReadAll(conn)
			require.NoError(t, err)
			assert.Equal(t, conn.LocalAddr().String()+"\n"+test.want, string(got))
		})
	}
}

func TestEchoSilence(t *testing.T) {
	s, err := OpenEcho(t.Context(), nil, nil, EchoOptions{})
	require.NoError(t, err)
	s.silence = 20 * time.Millisecond
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- s.Serve(ctx) }()

	conn, err := net.Dial("tcp", loopbacks(s.Listening().Address.Port())["IPv4"].String())
	require.NoError(t, err)
	defer conn.Close()
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, conn.LocalAddr().String()+"\n", line)
	_, err = io.WriteString(conn, "late\n")
	require.NoError(t, err)
	line, err = reader.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "late\n", line)

	cancel() // ends the open connection too
	s.Close()
	require.NoError(t, <-ended)
	_, err = reader.ReadByte()
	assert.Error(t, err)
}

func TestEchoHTTP(t *testing.T) {
	port, log := startServer(t, KindEcho)
	for name, target := range loopbacks(port) {
		t.Run(name, func(t *testing.T) {
			var local string
			transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
				if err == nil {
					require.Empty(t, local, "the connection is kept")
					local = conn.LocalAddr().String()
				}
				return conn, err
			}}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			get := func(accept string) (http.Header, string) {
				t.Helper()
				request, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s/path?q=1", target), nil)
				require.NoError(t, err)
				request.Header = http.Header{
					"Accept": {accept}, "X-Forwarded-For": {"1.2.3.4, 5.6.7.8", "9.9.9.9"}, "Forwarded": {"for=1.2.3.4"},
				}
				response, err := client.Do(request)
				require.NoError(t, err)
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				require.NoError(t, err)
				return response.Header, string(body)
			}
			header, body := get("*/*")
			assert.Equal(t, "text/plain; charset=utf-8", header.Get("Content-Type"))
			assert.Equal(t, local+"\nGET /path?q=1\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\nX-Forwarded-For: 9.9.9.9\nForwarded: for=1.2.3.4\n", body)

			header, body = get("text/html, application/json;q=0.9")
			assert.Equal(t, "application/json", header.Get("Content-Type"))
			var seen HTTPSeen
			require.NoError(t, json.Unmarshal([]byte(body), &seen))
			assert.Equal(t, HTTPSeen{
				Peer:   Peer{Seen: netip.MustParseAddrPort(local), Socket: netip.MustParseAddrPort(local)},
				Method: "GET", Path: "/path?q=1", Host: target.String(),
				XForwardedFor: []string{"1.2.3.4, 5.6.7.8", "9.9.9.9"}, Forwarded: []string{"for=1.2.3.4"},
				Header: http.Header{
					"Accept": {"text/html, application/json;q=0.9"}, "Accept-Encoding": {"gzip"}, "User-Agent": {"Go-http-client/1.1"},
					"X-Forwarded-For": {"1.2.3.4, 5.6.7.8", "9.9.9.9"}, "Forwarded": {"for=1.2.3.4"},
				},
			}, seen)
			entries := log.entries(t, "seen")
			assert.Equal(t, local, entries[len(entries)-1]["seen"])
			assert.Equal(t, "http", entries[len(entries)-1]["spoke"])
		})
	}
}

// The answer must come from the address that was asked, of all that the server has: 127.0.0.0/8 is local as a whole, and
// a connected socket takes answers from its peer only.
func TestEchoUDP(t *testing.T) {
	port, log := startServer(t, KindEcho)
	for _, test := range []struct {
		name, target string
		size         int
	}{
		{"IPv4", "127.0.0.1", 64},
		{"another address", "127.1.2.3", 64},
		{"IPv6", "::1", 64},
		{"empty", "127.0.0.1", 0},
		{"large", "::1", 8000},
		{"larger than an answer can be", "127.0.0.1", maxDatagram},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := netip.AddrPortFrom(netip.MustParseAddr(test.target), port)
			conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(target))
			require.NoError(t, err)
			defer conn.Close()
			payload := strings.Repeat("u", test.size)
			_, err = conn.Write([]byte(payload))
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
			answer := make([]byte, 1<<16)
			n, err := conn.Read(answer)
			require.NoError(t, err)
			want := conn.LocalAddr().String() + "\n" + payload
			assert.Equal(t, want[:min(len(want), maxDatagram)], string(answer[:n]))

			entries := log.entries(t, "seen")
			assert.Equal(t, conn.LocalAddr().String(), entries[len(entries)-1]["seen"])
			assert.Equal(t, target.Addr().String(), entries[len(entries)-1]["local"])
		})
	}
}

// On a socket for IPv4 alone the kernel speaks of addresses in other words.
func TestEchoUDPWithoutIPv6(t *testing.T) {
	servers, err := Start(context.Background(), nil, nil, ServerSpec{Kind: KindEcho, Listen: netip.MustParseAddrPort("0.0.0.0:0")})
	require.NoError(t, err)
	defer servers.Close()
	target := netip.AddrPortFrom(netip.MustParseAddr("127.3.2.1"), servers.Listening()[0].Address.Port())
	report, err := Connect(t.Context(), ConnectOptions{Protocol: UDP, Target: target})
	require.NoError(t, err)
	assert.Equal(t, 1, report.Preserved, "%+v", report.Connections)
}

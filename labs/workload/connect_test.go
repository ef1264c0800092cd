package workload

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConnect(t *testing.T) {
	port, log := startServer(t, KindEcho)
	for name, target := range loopbacks(port) {
		for _, protocol := range []Protocol{TCP, UDP} {
			t.Run(name+" "+string(protocol), func(t *testing.T) {
				logged := len(log.entries(t, "seen"))
				report, err := Connect(t.Context(), ConnectOptions{Protocol: protocol, Target: target, Count: 100})
				require.NoError(t, err)
				assert.Equal(t, map[Outcome]int{OutcomeOK: 100}, report.Outcomes)
				assert.Equal(t, 100, report.Preserved)
				require.Len(t, report.Connections, 100)
				ports := map[uint16]bool{}
				for _, seen := range report.Connections {
					assert.Equal(t, seen.Local, seen.Seen)
					assert.Positive(t, seen.RTT)
					assert.Equal(t, protocol == TCP, seen.Handshake > 0)
					ports[seen.Local.Port()] = true
				}
				assert.Greater(t, len(ports), 1)
				assert.Len(t, log.entries(t, "seen"), logged+100)
			})
		}
	}
}

func TestConnectSource(t *testing.T) {
	port, _ := startServer(t, KindEcho)
	for _, protocol := range []Protocol{TCP, UDP} {
		source := netip.MustParseAddr("127.9.9.9")
		entered := atomic.Int32{}
		report, err := Connect(t.Context(), ConnectOptions{
			Dialer: Dialer{
				Source: netip.AddrPortFrom(source, 0),
				Enter:  func(f func() error) error { entered.Add(1); return f() },
			},
			Protocol: protocol, Target: loopbacks(port)["IPv4"], Count: 3,
		})
		require.NoError(t, err)
		assert.EqualValues(t, 3, entered.Load())
		for _, seen := range report.Connections {
			assert.Equal(t, source, seen.Seen.Addr())
			assert.True(t, seen.Preserved)
		}
	}
}

// A server behind SNAT sees another address; to the client that is what the answer says.
func TestConnectTranslated(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, _ = conn.Write([]byte("192.168.1.11:40000\n"))
			_, _ = conn.Read(make([]byte, 64))
			conn.Close()
		}
	}()
	report, err := Connect(t.Context(), ConnectOptions{Protocol: TCP, Target: AddrPortOf(listener.Addr())})
	require.NoError(t, err)
	assert.Equal(t, map[Outcome]int{OutcomeOK: 1}, report.Outcomes)
	assert.Equal(t, netip.MustParseAddrPort("192.168.1.11:40000"), report.Connections[0].Seen)
	assert.False(t, report.Connections[0].Preserved)
	assert.Zero(t, report.Preserved)
}

func TestConnectOutcomes(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	behave := make(chan func(*net.TCPConn), 1)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			(<-behave)(conn.(*net.TCPConn))
		}
	}()
	answer := func(s string) func(*net.TCPConn) {
		return func(conn *net.TCPConn) {
			_, _ = conn.Read(make([]byte, 64))
			_, _ = conn.Write([]byte(s))
			conn.Close()
		}
	}
	for _, test := range []struct {
		name    string
		behave  func(*net.TCPConn)
		outcome Outcome
		err     string
	}{
		{"reset", func(conn *net.TCPConn) { _, _ = conn.Read(make([]byte, 64)); _ = conn.SetLinger(0); conn.Close() }, OutcomeReset, ""},
		{"end", answer(""), OutcomeReset, "read answer: connection ended before the answer"},
		{"half a line", answer("1.2.3.4:5"), OutcomeReset, "read answer: connection ended before the answer"},
		{"not an address", answer("hello\n"), OutcomeError, `read answer: "hello\n" is not ADDR:PORT`},
		{"silence", func(conn *net.TCPConn) { t.Cleanup(func() { conn.Close() }) }, OutcomeTimeout, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			behave <- test.behave
			report, err := Connect(t.Context(), ConnectOptions{
				Protocol: TCP, Target: AddrPortOf(listener.Addr()), Timeout: 200 * time.Millisecond,
			})
			require.NoError(t, err)
			seen := report.Connections[0]
			assert.Equal(t, test.outcome, seen.Outcome, seen.Error)
			assert.Contains(t, seen.Error, test.err)
			assert.NotEmpty(t, seen.Error)
			assert.True(t, seen.Local.IsValid())
		})
	}
	listener.Close()
	for _, protocol := range []Protocol{TCP, UDP} {
		report, err := Connect(t.Context(), ConnectOptions{Protocol: protocol, Target: AddrPortOf(listener.Addr()), Retries: 2})
		require.NoError(t, err)
		assert.Equal(t, map[Outcome]int{OutcomeRefused: 1}, report.Outcomes, "%s", protocol)
		assert.Zero(t, report.Retries, "a refusal is an answer")
	}
	// TEST-NET-1 (RFC 5737) from a loopback address has no way out.
	report, err := Connect(t.Context(), ConnectOptions{
		Dialer:   Dialer{Source: netip.MustParseAddrPort("127.0.0.1:0")},
		Protocol: UDP, Target: netip.MustParseAddrPort("192.0.2.1:9"), Timeout: 50 * time.Millisecond,
	})
	require.NoError(t, err)
	assert.Equal(t, map[Outcome]int{OutcomeError: 1}, report.Outcomes)
}

// lossyUDP answers only from the nth datagram on, with what answer makes of all that came.
func lossyUDP(t *testing.T, answerFrom int, answer func(seen string, datagrams [][]byte) [][]byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var got [][]byte
		for {
			b := make([]byte, 2048)
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if got = append(got, b[:n]); len(got) >= answerFrom {
				for _, a := range answer(from.String(), got) {
					_, _ = conn.WriteTo(a, from)
				}
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return AddrPortOf(conn.LocalAddr())
}

func TestConnectUDPRetries(t *testing.T) {
	last := func(seen string, got [][]byte) [][]byte {
		return [][]byte{append([]byte(seen+"\n"), got[len(got)-1]...)}
	}
	o := ConnectOptions{Protocol: UDP, Timeout: 50 * time.Millisecond, Retries: 2}

	o.Target = lossyUDP(t, 3, last)
	report, err := Connect(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, map[Outcome]int{OutcomeOK: 1}, report.Outcomes)
	assert.Equal(t, 2, report.Retries)
	assert.Less(t, report.Connections[0].RTT, o.Timeout, "from the sending that was answered")

	o.Target = lossyUDP(t, 2, func(seen string, got [][]byte) [][]byte { // a late answer to the first
		return [][]byte{append([]byte(seen+"\n"), got[0]...)}
	})
	report, err = Connect(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, 1, report.Retries)
	assert.GreaterOrEqual(t, report.Connections[0].RTT, o.Timeout)

	o.Target = lossyUDP(t, 4, last)
	report, err = Connect(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, map[Outcome]int{OutcomeTimeout: 1}, report.Outcomes)
	assert.Equal(t, 2, report.Retries)

	o.Target = lossyUDP(t, 1, func(string, [][]byte) [][]byte { return [][]byte{[]byte("1.2.3.4:5\nother bytes")} })
	report, err = Connect(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, map[Outcome]int{OutcomeError: 1}, report.Outcomes)
	assert.Equal(t, `read answer: "1.2.3.4:5\nother bytes" is not an address line and the datagram's bytes`, report.Connections[0].Error)
}

func TestConnectOptionErrors(t *testing.T) {
	_, err := Connect(t.Context(), ConnectOptions{Protocol: "sctp", Count: 1 << 20, Concurrency: -1, Timeout: -1, Retries: -1})
	require.Error(t, err)
	assert.Equal(t, strings.Join([]string{
		"target missing: want ADDR:PORT or [ADDR6]:PORT",
		`protocol "sctp": want tcp or udp`,
		"count 1048576: want 1 to 65536",
		"concurrency -1: must not be negative",
		"timeout -1ns: must not be negative",
		"retries -1: must not be negative",
	}, "\n"), err.Error())
}

func TestConnectCancelled(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0") // takes all, answers nothing
	require.NoError(t, err)
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	report, err := Connect(ctx, ConnectOptions{
		Protocol: UDP, Target: AddrPortOf(conn.LocalAddr()), Count: 100, Concurrency: 2, Timeout: time.Minute,
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Less(t, time.Since(began), 5*time.Second)
	assert.Less(t, len(report.Connections), 100)
	assert.Equal(t, map[Outcome]int{OutcomeError: len(report.Connections)}, report.Outcomes)
}

func TestGet(t *testing.T) {
	port, log := startServer(t, KindEcho)
	for name, target := range loopbacks(port) {
		t.Run(name, func(t *testing.T) {
			o := GetOptions{URL: "http://" + target.String() + "/x", Count: 20, Header: map[string][]string{"X-Forwarded-For": {"1.2.3.4"}}}
			report, err := Get(t.Context(), o)
			require.NoError(t, err)
			assert.Equal(t, map[Outcome]int{OutcomeOK: 20}, report.Outcomes)
			assert.Equal(t, map[int]int{200: 20}, report.Statuses)
			assert.Equal(t, 20, report.Preserved)
			locals := map[netip.AddrPort]bool{}
			for _, r := range report.Responses {
				assert.Equal(t, r.Local, r.Seen)
				assert.Equal(t, r.Local.String()+"\nGET /x\nX-Forwarded-For: 1.2.3.4\n", r.Body)
				assert.EqualValues(t, len(r.Body), r.Bytes)
				assert.Positive(t, r.FirstByte)
				assert.GreaterOrEqual(t, r.Total, r.FirstByte)
				locals[r.Local] = true
			}
			assert.Len(t, locals, 20, "a connection each")

			o.KeepAlive, o.Concurrency = true, 1
			report, err = Get(t.Context(), o)
			require.NoError(t, err)
			locals = map[netip.AddrPort]bool{}
			for _, r := range report.Responses {
				locals[r.Local] = true
			}
			assert.Len(t, locals, 1, "one connection for all")
		})
	}
	assert.Len(t, log.entries(t, "seen"), 80)
}

func TestGetErrors(t *testing.T) {
	for _, test := range []struct{ url, want string }{
		{"http://example.org/", `URL "http://example.org/": host "example.org" must be a numeric address`},
		{"https://1.2.3.4/", `URL "https://1.2.3.4/": want http://ADDR[:PORT]/…`},
		{"1.2.3.4", `URL "1.2.3.4": want http://ADDR[:PORT]/…`},
		{"http://[::1/", `parse URL: parse "http://[::1/": missing ']' in host`},
	} {
		_, err := Get(t.Context(), GetOptions{URL: test.url})
		assert.EqualError(t, err, test.want)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listener.Close()
	report, err := Get(t.Context(), GetOptions{URL: "http://" + listener.Addr().String()})
	require.NoError(t, err)
	assert.Equal(t, map[Outcome]int{OutcomeRefused: 1}, report.Outcomes)
	assert.Empty(t, report.Statuses)
}

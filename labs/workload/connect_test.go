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

	"github.com/dsrlab/dsrlab/labs/workload/deadport"
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
		{"not an address", answer("hello\n"), OutcomeError, `read answer: found "hello\n" (want ADDR:PORT)`},
		{"silence", func(conn *net.TCPConn) { t.Cleanup(func() { conn.Close() }) }, OutcomeTimeout, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			behave <- test.behave
			timeout := 20 * time.Second
			if test.outcome == OutcomeTimeout {
				timeout = time.Second
			}
			report, err := Connect(t.Context(), ConnectOptions{Protocol: TCP, Target: AddrPortOf(listener.Addr()), Timeout: timeout})
			require.NoError(t, err)
			seen := report.Connections[0]
			assert.Equal(t, test.outcome, seen.Outcome, seen.Error)
			assert.Contains(t, seen.Error, test.err)
			assert.NotEmpty(t, seen.Error)
			assert.True(t, seen.Local.IsValid())
		})
	}
	dead := deadport.Open(t)
	for _, protocol := range []Protocol{TCP, UDP} {
		report, err := Connect(t.Context(), ConnectOptions{Protocol: protocol, Target: dead, Retries: 2})
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
	first := func(seen string, got [][]byte) [][]byte { return [][]byte{append([]byte(seen+"\n"), got[0]...)} }
	wrong := func(string, [][]byte) [][]byte { return [][]byte{[]byte("1.2.3.4:5\nother bytes")} }
	const timeout = 2 * time.Second // in which an answer must be here
	for _, test := range []struct {
		name       string
		answerFrom int
		answer     func(seen string, datagrams [][]byte) [][]byte
		outcome    Outcome
		retries    int
		err        string
	}{
		{"the third is answered", 3, last, OutcomeOK, 2, ""},
		{"a late answer to the first", 2, first, OutcomeOK, 1, ""},
		{"none is answered", 4, last, OutcomeTimeout, 2, "read answer: "},
		{"a wrong answer", 1, wrong, OutcomeError, 0, `read answer: found "1.2.3.4:5\nother bytes" (want an address line and the datagram's bytes)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			report, err := Connect(t.Context(), ConnectOptions{
				Protocol: UDP, Target: lossyUDP(t, test.answerFrom, test.answer), Timeout: timeout, Retries: 2,
			})
			require.NoError(t, err)
			assert.Equal(t, map[Outcome]int{test.outcome: 1}, report.Outcomes)
			assert.Equal(t, test.retries, report.Retries)
			one := report.Connections[0]
			assert.Contains(t, one.Error, test.err)
			if test.outcome == OutcomeOK {
				assert.Equal(t, test.answerFrom == 2, one.RTT >= timeout, "%s is from the sending that was answered", one.RTT)
			}
		})
	}
}

func TestConnectOptionErrors(t *testing.T) {
	_, err := Connect(t.Context(), ConnectOptions{Protocol: "sctp", Count: 1 << 20, Concurrency: -1, Timeout: -1, Retries: -1})
	require.Error(t, err)
	assert.Equal(t, strings.Join([]string{
		"missing target (want ADDR:PORT or [ADDR6]:PORT)",
		`protocol: found "sctp" (want tcp or udp)`,
		"count: found 1048576 (want 1 to 65536)",
		"concurrency: found -1 (want 0 or more)",
		"timeout: found -1ns (want 0 or more)",
		"retries: found -1 (want 0 or more)",
	}, "\n"), err.Error())
}

func TestConnectCancelled(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0") // takes all, answers nothing
	require.NoError(t, err)
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _, _ = conn.ReadFrom(make([]byte, 64)) // once calls are under way
		cancel()
	}()
	began := time.Now()
	report, err := Connect(ctx, ConnectOptions{
		Protocol: UDP, Target: AddrPortOf(conn.LocalAddr()), Count: 100, Concurrency: 2, Timeout: time.Minute,
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Less(t, time.Since(began), time.Minute)
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
		{"http://example.org/", `URL "http://example.org/": found host "example.org" (want a numeric address)`},
		{"https://1.2.3.4/", `URL: found "https://1.2.3.4/" (want http://ADDR[:PORT]/…)`},
		{"1.2.3.4", `URL: found "1.2.3.4" (want http://ADDR[:PORT]/…)`},
		{"http://[::1/", `parse URL: parse "http://[::1/": missing ']' in host`},
	} {
		_, err := Get(t.Context(), GetOptions{URL: test.url})
		assert.EqualError(t, err, test.want)
	}
	report, err := Get(t.Context(), GetOptions{URL: "http://" + deadport.Open(t).String()})
	require.NoError(t, err)
	assert.Equal(t, map[Outcome]int{OutcomeRefused: 1}, report.Outcomes)
	assert.Empty(t, report.Statuses)
}

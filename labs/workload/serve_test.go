package workload

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStartAllOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := AddrPortOf(taken.Addr()).Port()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	freePort := AddrPortOf(free.Addr())
	free.Close()

	_, err = Start(context.Background(), nil, nil,
		ServerSpec{Kind: KindEcho, Listen: freePort}, ServerSpec{Kind: KindBulk, Listen: netip.AddrPortFrom(netip.Addr{}, port)}, ServerSpec{Kind: "quic"})
	require.ErrorContains(t, err, "start bulk server: listen tcp ")
	require.ErrorContains(t, err, "address already in use")
	require.ErrorContains(t, err, `start server: unknown kind "quic" (want echo, bulk or dns)`)

	again, err := net.Listen("tcp", freePort.String())
	require.NoError(t, err, "what was opened is closed again")
	again.Close()
}

func TestStartEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	entered := 0
	enter := func(f func() error) error { entered++; return f() }
	servers, err := Start(ctx, enter, nil, ServerSpec{Kind: KindEcho}, ServerSpec{Kind: KindBulk}, ServerSpec{Kind: KindDNS})
	require.NoError(t, err)
	assert.GreaterOrEqual(t, entered, 5, "each socket is made inside")
	require.Len(t, servers.Listening(), 3)
	for i, kind := range []Kind{KindEcho, KindBulk, KindDNS} {
		assert.Equal(t, kind, servers.Listening()[i].Kind)
		conn, err := net.Dial("tcp", loopbacks(servers.Listening()[i].Address.Port())["IPv6"].String())
		require.NoError(t, err)
		defer conn.Close()
	}
	cancel()
	require.NoError(t, servers.Wait())
	_, err = net.Dial("tcp", loopbacks(servers.Listening()[0].Address.Port())["IPv4"].String())
	assert.Error(t, err)
	require.NoError(t, servers.Close())
}

func TestDNS(t *testing.T) {
	port, log := startServer(t, KindDNS)
	v4, v6 := loopbacks(port)["IPv4"], loopbacks(port)["IPv6"]
	other := netip.AddrPortFrom(netip.MustParseAddr("127.4.5.6"), port)
	for _, test := range []struct {
		name, network string
		target        netip.AddrPort
		question      string
		kind          uint16
		rcode         int
		want          string // of the answer's data; empty: no answer; LOCAL stands for the client's end
	}{
		{"A", "udp", v4, "whoami.", dns.TypeA, dns.RcodeSuccess, "127.0.0.1"},
		{"A over TCP", "tcp", v4, "whoami.", dns.TypeA, dns.RcodeSuccess, "127.0.0.1"},
		{"A at another address", "udp", other, "whoami.", dns.TypeA, dns.RcodeSuccess, "127.0.0.1"},
		{"AAAA", "udp", v6, "WhoAmI.", dns.TypeAAAA, dns.RcodeSuccess, "::1"},
		{"AAAA over IPv4", "udp", v4, "whoami.", dns.TypeAAAA, dns.RcodeSuccess, ""},
		{"A over IPv6", "udp", v6, "whoami.", dns.TypeA, dns.RcodeSuccess, ""},
		{"TXT", "udp", v4, "whoami.", dns.TypeTXT, dns.RcodeSuccess, "LOCAL"},
		{"TXT over TCP and IPv6", "tcp", v6, "whoami.", dns.TypeTXT, dns.RcodeSuccess, "LOCAL"},
		{"other name", "udp", v4, "example.", dns.TypeA, dns.RcodeNameError, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := dns.Dial(test.network, test.target.String())
			require.NoError(t, err)
			defer conn.Close()
			query := new(dns.Msg).SetQuestion(test.question, test.kind)
			query.SetEdns0(1232, false)
			answer, _, err := new(dns.Client).ExchangeWithConn(query, conn)
			require.NoError(t, err)
			assert.Equal(t, test.rcode, answer.Rcode)
			assert.True(t, answer.Authoritative)
			assert.NotNil(t, answer.IsEdns0())
			if test.want == "" {
				assert.Empty(t, answer.Answer)
				return
			}
			require.Len(t, answer.Answer, 1)
			assert.Zero(t, answer.Answer[0].Header().Ttl)
			switch record := answer.Answer[0].(type) {
			case *dns.A:
				assert.Equal(t, test.want, record.A.String())
			case *dns.AAAA:
				assert.Equal(t, test.want, record.AAAA.String())
			case *dns.TXT:
				assert.Equal(t, []string{conn.LocalAddr().String()}, record.Txt)
			default:
				t.Errorf("unexpected record %v", record)
			}
			entries := log.entries(t, "seen")
			assert.Equal(t, conn.LocalAddr().String(), entries[len(entries)-1]["seen"])
		})
	}
}

func TestParseListen(t *testing.T) {
	for in, want := range map[string]netip.AddrPort{
		"8080":         netip.AddrPortFrom(netip.Addr{}, 8080),
		"10.0.0.1:53":  netip.MustParseAddrPort("10.0.0.1:53"),
		"[fd00::1]:53": netip.MustParseAddrPort("[fd00::1]:53"),
	} {
		got, err := ParseListen(in)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err := ParseListen("65536")
	assert.EqualError(t, err, `parse listening address: found "65536" (want PORT, ADDR:PORT or [ADDR6]:PORT)`)
}

func TestParseTarget(t *testing.T) {
	got, err := ParseTarget("[::ffff:1.2.3.4]:80")
	require.NoError(t, err)
	assert.Equal(t, netip.MustParseAddrPort("1.2.3.4:80"), got)
	for in, want := range map[string]string{
		"1.2.3.4":        `parse target "1.2.3.4": missing port (want ADDR:PORT or [ADDR6]:PORT)`,
		"example.org:80": `parse target: found "example.org:80" (want ADDR:PORT or [ADDR6]:PORT, numeric)`,
		"0.0.0.0:80":     `target 0.0.0.0:80: found the unspecified address (want a server's)`,
		"1.2.3.4:0":      `target 1.2.3.4:0: found port 0 (want 1 to 65535)`,
	} {
		_, err := ParseTarget(in)
		assert.EqualError(t, err, want)
	}
}

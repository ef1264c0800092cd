package proxyproto

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const signature2 = "\r\n\r\n\x00\r\nQUIT\n"

func TestHeaderOnTheWire(t *testing.T) {
	v4, v4to := netip.MustParseAddrPort("192.0.2.10:40000"), netip.MustParseAddrPort("198.51.100.1:443")
	v6, v6to := netip.MustParseAddrPort("[2001:db8::a]:40000"), netip.MustParseAddrPort("[2001:db8::1]:443")
	for _, test := range []struct {
		header Header
		want   string
	}{
		{Header{V1, Proxy, v4, v4to}, "PROXY TCP4 192.0.2.10 198.51.100.1 40000 443\r\n"},
		{Header{V1, Proxy, v6, v6to}, "PROXY TCP6 2001:db8::a 2001:db8::1 40000 443\r\n"},
		{Header{Version: V1, Command: Local}, "PROXY UNKNOWN\r\n"},
		{Header{V2, Proxy, v4, v4to}, signature2 + "\x21\x11\x00\x0c\xc0\x00\x02\x0a\xc6\x33\x64\x01\x9c\x40\x01\xbb"},
		{Header{V2, Proxy, v6, v6to}, signature2 + "\x21\x21\x00\x24" +
			"\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x0a" + "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01" + "\x9c\x40\x01\xbb"},
		{Header{Version: V2, Command: Local}, signature2 + "\x20\x00\x00\x00"},
	} {
		t.Run(test.header.String(), func(t *testing.T) {
			b, err := test.header.Append([]byte("x"))
			require.NoError(t, err)
			assert.Equal(t, "x"+test.want, string(b))
			assert.Equal(t, test.header.Version, Signature(b[1:]))
			reader := bufio.NewReader(bytes.NewReader(append(b[1:], "rest"...)))
			got, err := Read(reader)
			require.NoError(t, err)
			assert.Equal(t, test.header, got)
			rest, err := io.ReadAll(reader)
			require.NoError(t, err)
			assert.Equal(t, "rest", string(rest))
		})
	}
}

func TestHeaderErrors(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.10:1"), netip.MustParseAddrPort("[2001:db8::a]:1")
	for want, header := range map[string]Header{
		"write PROXY header: version: found 0 (want 1 or 2)":                                                      {Command: Local},
		`write PROXY header: command: found "" (want proxy or local)`:                                             {Version: V1},
		"write PROXY header: missing source or destination":                                                       {V2, Proxy, v4, netip.AddrPort{}},
		"write PROXY header: source, destination: found 192.0.2.10:1, [2001:db8::a]:1 (want the same IP version)": {V2, Proxy, v4, v6},
	} {
		_, err := header.Append(nil)
		assert.EqualError(t, err, want)
	}
	_, err := ParseVersion("3")
	assert.EqualError(t, err, `PROXY protocol version: found "3" (want none, v1 or v2)`)
}

// A header that breaks the specification is refused; none of it is taken for the client's address.
func TestReadRefuses(t *testing.T) {
	for _, test := range []struct {
		name, input string
		reason      Reason
	}{
		{"nothing", "", Missing},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", Missing},
		{"method that begins as v1 does", "PUT / HTTP/1.1\r\n\r\n", Missing},
		{"no space", "PROXYTCP4 192.0.2.10 198.51.100.1 40000 443\r\n", Malformed},
		{"line feed alone", "PROXY TCP4 192.0.2.10 198.51.100.1 40000 443\n", Malformed},
		{"too long", "PROXY TCP4 " + strings.Repeat("1", 107) + "\r\n", Malformed},
		{"unknown family", "PROXY UDP4 192.0.2.10 198.51.100.1 40000 443\r\n", Malformed},
		{"IPv6 address in TCP4", "PROXY TCP4 2001:db8::a 198.51.100.1 40000 443\r\n", Malformed},
		{"port too large", "PROXY TCP4 192.0.2.10 198.51.100.1 65536 443\r\n", Malformed},
		{"field missing", "PROXY TCP4 192.0.2.10 198.51.100.1 40000\r\n", Malformed},
		{"field too many", "PROXY TCP4 192.0.2.10 198.51.100.1 40000 443 1\r\n", Malformed},
		{"line ends early", "PROXY TCP4 192.0.2.10", Malformed},
		{"version 3", signature2 + "\x31\x11\x00\x0c\xc0\x00\x02\x0a\xc6\x33\x64\x01\x9c\x40\x01\xbb", Malformed},
		{"unknown command", signature2 + "\x22\x11\x00\x0c\xc0\x00\x02\x0a\xc6\x33\x64\x01\x9c\x40\x01\xbb", Malformed},
		{"length too short for IPv4", signature2 + "\x21\x11\x00\x0b\xc0\x00\x02\x0a\xc6\x33\x64\x01\x9c\x40\x01", Malformed},
		{"length longer than what comes", signature2 + "\x21\x11\x00\x20\xc0\x00\x02\x0a\xc6\x33\x64\x01\x9c\x40\x01\xbb", Malformed},
		{"length absurd", signature2 + "\x21\x11\xff\xff" + strings.Repeat("\x00", 65535), Malformed},
		{"UDP", signature2 + "\x21\x12\x00\x0c\xc0\x00\x02\x0a\xc6\x33\x64\x01\x9c\x40\x01\xbb", Malformed},
		{"Unix socket", signature2 + "\x21\x31\x00\xd8" + strings.Repeat("a", 216), Malformed},
		{"ends in the addresses", signature2 + "\x21\x11\x00\x0c\xc0\x00", Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			header, err := Read(bufio.NewReader(strings.NewReader(test.input)))
			var refusal *Refusal
			require.ErrorAs(t, err, &refusal)
			assert.Equal(t, test.reason, refusal.Reason, err)
			assert.ErrorContains(t, err, "PROXY header "+string(test.reason)+": ")
			assert.Zero(t, header)
		})
	}
}

func TestReceive(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	peer := netip.MustParseAddr("10.0.0.7")
	policy := Policy{Require: true, From: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")}}
	require.NoError(t, policy.Validate())
	_, err := policy.Receive(near, bufio.NewReader(near), peer)
	assert.EqualError(t, err, "PROXY header untrusted: found 10.0.0.7 (want one of the trusted proxies 10.1.0.0/16, fd00::/8)")

	policy = Policy{Require: true, Timeout: 20 * time.Millisecond}
	_, err = policy.Receive(near, bufio.NewReader(near), peer)
	assert.EqualError(t, err, "PROXY header late: not complete after 20ms")

	policy.Timeout = time.Minute
	go func() { _, _ = far.Write([]byte("PROXY TCP4 192.0.2.10 198.51.100.1 40000 443\r\nhello")) }()
	reader := bufio.NewReader(near)
	header, err := policy.Receive(near, reader, peer)
	require.NoError(t, err)
	assert.Equal(t, "192.0.2.10:40000", header.Source.String())
	rest := make([]byte, 5)
	_, err = io.ReadFull(reader, rest)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(rest))
}

func TestPolicyErrors(t *testing.T) {
	assert.NoError(t, Policy{}.Validate())
	assert.EqualError(t, Policy{Timeout: 1}.Validate(), "PROXY protocol: found trusted proxies or a timeout (want them only where a header is required)")
	assert.EqualError(t, Policy{Require: true, Timeout: -1, From: []netip.Prefix{{}}}.Validate(),
		"PROXY protocol: timeout: found -1ns (want 0 or more)\nPROXY protocol: found an invalid prefix of trusted proxies")
}

// A connection that is reset before the header's end was refused for that, not for what it sent.
func TestReceiveReset(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	conn, err := listener.Accept()
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, client.(*net.TCPConn).SetLinger(0))
	require.NoError(t, client.Close())
	_, err = Policy{Require: true}.Receive(conn, bufio.NewReader(conn), netip.MustParseAddr("127.0.0.1"))
	var refusal *Refusal
	require.True(t, errors.As(err, &refusal), err)
	assert.Equal(t, Broken, refusal.Reason)
}

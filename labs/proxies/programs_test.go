package proxies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// needEngine skips what needs a program that the machine lacks.
func needEngine(t *testing.T, e Engine) {
	t.Helper()
	if err := Check(e, proxyproto.None); err != nil {
		t.Skip(err)
	}
}

// freePort is a port of an address that nobody listens on.
func freePort(t *testing.T, address netip.Addr) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(address, 0).String())
	require.NoError(t, err)
	defer l.Close()
	return workload.AddrPortOf(l.Addr())
}

// before runs a program on this machine, as a proxy before an echo server, and returns where it listens.
func before(t *testing.T, e Engine, address string, send proxyproto.Version) netip.AddrPort {
	t.Helper()
	at := netip.MustParseAddr(address)
	echo, err := workload.OpenEcho(t.Context(), nil, nil, workload.EchoOptions{
		Listen: netip.AddrPortFrom(at, 0), ProxyProtocol: proxyproto.Policy{Require: send != proxyproto.None},
	})
	require.NoError(t, err)
	servers := workload.Run(context.WithoutCancel(t.Context()), echo)
	t.Cleanup(func() { assert.NoError(t, servers.Close()) })
	p := &Proxy{Name: "front", Node: "here", Listen: freePort(t, at), Upstream: echo.Listening().Address, Send: send}
	argv, err := p.command(e, t.TempDir())
	require.NoError(t, err)
	program := exec.Command(argv[0], argv[1:]...)
	require.NoError(t, program.Start())
	t.Cleanup(func() {
		assert.NoError(t, program.Process.Kill())
		_ = program.Wait() // killed
	})
	require.Eventually(t, func() bool {
		listens, err := listensOn(program.Process.Pid, p.Listen)
		return err == nil && listens
	}, startTimeout, 5*time.Millisecond, "%v does not listen on %v", argv, p.Listen)
	return p.Listen
}

// The real proxies write both headers as the ones that are built in do, and keep what the client has written.
func TestProgramsAppendToHeaders(t *testing.T) {
	for _, e := range []Engine{Nginx, HAProxy} {
		for _, test := range []struct{ address, forwarded string }{{"127.0.0.1", "127.0.0.1"}, {"::1", `"[::1]"`}} {
			t.Run(fmt.Sprintf("%s %s", e, test.address), func(t *testing.T) {
				needEngine(t, e)
				url := fmt.Sprintf("http://%v/", before(t, e, test.address, proxyproto.None))
				assert.Equal(t, [2]string{test.address, "for=" + test.forwarded}, headersAt(t, url, nil))
				forged := http.Header{"X-Forwarded-For": {"203.0.113.7"}, "Forwarded": {"for=203.0.113.7"}}
				assert.Equal(t, [2]string{"203.0.113.7, " + test.address, "for=203.0.113.7, for=" + test.forwarded}, headersAt(t, url, forged))
			})
		}
	}
}

// headersAt are X-Forwarded-For and Forwarded as they reach the server. Two lines of a header are one list (RFC 9110 section 5.3).
func headersAt(t *testing.T, url string, header http.Header) [2]string {
	t.Helper()
	all := http.Header{"Accept": {"application/json"}}
	for name, values := range header {
		all[name] = values
	}
	report, err := workload.Get(t.Context(), workload.GetOptions{URL: url, Header: all, Count: 1})
	require.NoError(t, err)
	var seen workload.HTTPSeen
	require.NoError(t, json.Unmarshal([]byte(report.Responses[0].Body), &seen), report.Responses[0])
	var lists [2]string
	for i, values := range [][]string{seen.XForwardedFor, seen.Forwarded} {
		for j, value := range values {
			if j > 0 {
				lists[i] += ", "
			}
			lists[i] += value
		}
	}
	return lists
}

// What Check allows works, and what it does not allow can't be started.
func TestProgramsSendProxyHeaders(t *testing.T) {
	for _, e := range []Engine{Nginx, HAProxy} {
		for _, version := range []proxyproto.Version{proxyproto.V1, proxyproto.V2} {
			t.Run(fmt.Sprintf("%s v%d", e, version), func(t *testing.T) {
				needEngine(t, e)
				if err := Check(e, version); err != nil {
					var lacking *UnsupportedError
					require.True(t, errors.As(err, &lacking), err)
					_, commandErr := over4(version).command(e, t.TempDir())
					assert.Equal(t, err, commandErr)
					return
				}
				at := before(t, e, "127.0.0.1", version)
				report, err := workload.Connect(t.Context(), workload.ConnectOptions{Protocol: workload.TCP, Target: at, Count: 1, Detail: true})
				require.NoError(t, err)
				one := report.Connections[0]
				require.Equal(t, workload.OutcomeOK, one.Outcome, one.Error)
				assert.Equal(t, &proxyproto.Header{Version: version, Command: proxyproto.Proxy, Source: one.Local, Destination: at}, one.ProxyHeader)
			})
		}
	}
}

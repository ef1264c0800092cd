package workload_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/application"
	"github.com/dsrlab/dsrlab/labs/workload/arrival"
	"github.com/dsrlab/dsrlab/labs/workload/download"
	"github.com/dsrlab/dsrlab/labs/workload/inference"
	"github.com/dsrlab/dsrlab/labs/workload/l7proxy"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
	"github.com/dsrlab/dsrlab/labs/workload/tcpproxy"
)

// All servers and clients of the packages below live in the namespace that they are told: proxies' connections to
// upstreams, an application's calls to its clients and a client's wait for them too.
func TestEnterNamespaceBelow(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	enter := workload.NewNamespace(t)
	require.NoError(t, enter(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	}))
	dialer := workload.Dialer{Enter: enter}
	echo, err := workload.OpenEcho(t.Context(), enter, nil, workload.EchoOptions{})
	require.NoError(t, err)
	parsing, err := workload.OpenEcho(t.Context(), enter, nil, workload.EchoOptions{ProxyProtocol: proxyproto.Policy{Require: true}})
	require.NoError(t, err)
	callback, err := application.NewCallBack(dialer, 0)
	require.NoError(t, err)
	app, err := application.Open(t.Context(), callback, application.Options{Enter: enter})
	require.NoError(t, err)
	model, err := inference.Open(t.Context(), inference.Options{Enter: enter})
	require.NoError(t, err)
	files, err := download.Open(t.Context(), download.ServerOptions{Enter: enter})
	require.NoError(t, err)
	at := func(server workload.Server) netip.AddrPort {
		return netip.AddrPortFrom(netip.IPv6Loopback(), server.Listening().Address.Port())
	}
	l7, err := l7proxy.Open(t.Context(), l7proxy.Options{Dialer: dialer, Upstreams: []netip.AddrPort{at(echo)}})
	require.NoError(t, err)
	l4, err := tcpproxy.Open(t.Context(), tcpproxy.Options{Dialer: dialer, Upstreams: []netip.AddrPort{at(parsing)}, Send: proxyproto.V2})
	require.NoError(t, err)
	servers := workload.Run(context.Background(), echo, parsing, app, model, files, l7, l4)
	defer servers.Close()

	got, err := workload.Get(t.Context(), workload.GetOptions{Dialer: dialer, URL: fmt.Sprintf("http://%s/", at(l7))})
	require.NoError(t, err)
	assert.Contains(t, got.Responses[0].Body, "X-Forwarded-For: ::1\n", got.Responses[0].Error)
	seen, err := workload.Connect(t.Context(), workload.ConnectOptions{Dialer: dialer, Protocol: workload.TCP, Target: at(l4), Detail: true})
	require.NoError(t, err)
	assert.Equal(t, 1, seen.Preserved, "%+v", seen.Connections)
	call, err := application.CallMe(t.Context(), application.CallMeOptions{Dialer: dialer, Target: at(app)})
	require.NoError(t, err)
	assert.True(t, call.Reached, "%+v", call)
	load, err := inference.Load(t.Context(), inference.LoadOptions{Dialer: dialer, Target: at(model), Shape: inference.Shape{Response: inference.Exactly(9)},
		Process: arrival.Process{Loop: arrival.Closed, Workers: 1, Count: 1}})
	require.NoError(t, err)
	assert.Zero(t, load.Errors, "%+v", load.Samples)
	downloads, err := download.Run(t.Context(), download.Options{Dialer: dialer, Target: at(files), Count: 40, Rate: 80_000, Length: 10 * time.Millisecond})
	require.NoError(t, err)
	assert.Equal(t, map[download.End]int{download.Completed: 40}, downloads.Ends)

	for _, server := range []workload.Server{echo, parsing, app, model, files, l7, l4} {
		conn, err := net.DialTimeout("tcp", at(server).String(), 20*time.Second)
		if err == nil {
			conn.Close()
		}
		assert.ErrorIs(t, err, unix.ECONNREFUSED, "nothing listens outside: %s", server.Listening().Kind)
	}
}

package workload

import (
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// newNamespace makes a network namespace that lives as long as the test, and a way in. A thread that has been inside
// ends with its goroutine, so nothing else ever runs on it.
func newNamespace(t *testing.T) Enter {
	t.Helper()
	type made struct {
		fd  int
		err error
	}
	result := make(chan made)
	go func() {
		runtime.LockOSThread()
		var m made
		if m.err = unix.Unshare(unix.CLONE_NEWNET); m.err == nil {
			m.fd, m.err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		result <- m
	}()
	m := <-result
	require.NoError(t, m.err)
	t.Cleanup(func() { unix.Close(m.fd) })
	return func(f func() error) error {
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			err := unix.Setns(m.fd, unix.CLONE_NEWNET)
			if err == nil {
				err = f()
			}
			done <- err
		}()
		return <-done
	}
}

// Servers and clients live in the namespace that their sockets were made in, wherever their goroutines run. A namespace
// whose loopback is down when the servers start must get IPv6 all the same.
func TestEnterNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	enter := newNamespace(t)
	servers, err := Start(context.Background(), enter, nil,
		ServerSpec{Kind: KindEcho, Listen: netip.MustParseAddrPort("[::]:8080")}, ServerSpec{Kind: KindBulk}, ServerSpec{Kind: KindDNS})
	require.NoError(t, err)
	defer servers.Close()
	require.NoError(t, enter(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	}))
	dialer := Dialer{Enter: enter}
	for name, target := range loopbacks(8080) {
		t.Run(name, func(t *testing.T) {
			for _, protocol := range []Protocol{TCP, UDP} {
				report, err := Connect(t.Context(), ConnectOptions{Dialer: dialer, Protocol: protocol, Target: target, Count: 20})
				require.NoError(t, err)
				assert.Equal(t, 20, report.Preserved, "%+v", report.Connections)
			}
			got, err := Get(t.Context(), GetOptions{Dialer: dialer, URL: "http://" + target.String(), Count: 3})
			require.NoError(t, err)
			assert.Equal(t, 3, got.Preserved)
			bulk, err := Bulk(t.Context(), BulkOptions{
				Dialer: dialer, Direction: Both, Bytes: 1 << 20, Streams: 2,
				Target: netip.AddrPortFrom(target.Addr(), servers.Listening()[1].Address.Port()),
			})
			require.NoError(t, err)
			assert.EqualValues(t, 1<<20, bulk.Download.Bytes)
		})
	}
	conn, err := net.DialTimeout("tcp", loopbacks(servers.Listening()[1].Address.Port())["IPv4"].String(), 20*time.Second)
	if err == nil {
		conn.Close()
	}
	assert.ErrorIs(t, err, unix.ECONNREFUSED, "nothing listens outside")
}

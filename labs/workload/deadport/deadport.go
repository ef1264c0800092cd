// Package deadport gives tests ports that refuse. A port that was merely free a moment ago may be another socket's by the
// time that a test calls it; these are held until the test ends by sockets that refuse.
package deadport

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Open holds a port of 127.0.0.1 for both TCP and UDP, and returns its address, at which calls are refused.
func Open(t testing.TB) netip.AddrPort {
	t.Helper()
	for {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), take(t, unix.SOCK_STREAM, 0))
		if take(t, unix.SOCK_DGRAM, at.Port()) != 0 {
			return at
		}
	}
}

// take binds a socket that answers no call to a port (0: any), and returns the port; 0 if it is in use. A TCP socket that does not
// listen refuses; a connected UDP socket receives nothing from other peers.
func take(t testing.TB, kind int, port uint16) uint16 {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	loopback := [4]byte{127, 0, 0, 1}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback, Port: int(port)}); err != nil {
		require.True(t, errors.Is(err, unix.EADDRINUSE), "%v", err)
		require.NoError(t, unix.Close(fd))
		return 0
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if kind == unix.SOCK_DGRAM {
		require.NoError(t, unix.Connect(fd, &unix.SockaddrInet4{Addr: loopback, Port: 1}))
	}
	own, err := unix.Getsockname(fd)
	require.NoError(t, err)
	return uint16(own.(*unix.SockaddrInet4).Port)
}

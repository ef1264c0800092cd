package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// portAttempts bounds the search for a port that is free for both TCP and UDP.
const portAttempts = 16

// ListenTCP listens on addr; without an address on [::], IPv4 included.
func ListenTCP(ctx context.Context, enter Enter, addr netip.AddrPort) (*net.TCPListener, error) {
	var listener net.Listener
	err := onWildcard(addr, func(addr netip.AddrPort) error {
		return enter.Do(func() (err error) {
			var config net.ListenConfig
			// Labs show plain TCP: no MPTCP option on SYN-ACKs.
			config.SetMultipathTCP(false)
			listener, err = config.Listen(ctx, "tcp", addr.String())
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return listener.(*net.TCPListener), nil
}

// listenUDP opens a UDP socket on addr; without an address on [::], IPv4 included.
func listenUDP(ctx context.Context, enter Enter, addr netip.AddrPort) (*net.UDPConn, error) {
	var conn net.PacketConn
	err := onWildcard(addr, func(addr netip.AddrPort) error {
		return enter.Do(func() (err error) {
			var config net.ListenConfig
			conn, err = config.ListenPacket(ctx, "udp", addr.String())
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// listenBoth listens for TCP and UDP on the same port.
func listenBoth(ctx context.Context, enter Enter, addr netip.AddrPort) (*net.TCPListener, *net.UDPConn, error) {
	for attempt := 1; ; attempt++ {
		tcp, err := ListenTCP(ctx, enter, addr)
		if err != nil {
			return nil, nil, err
		}
		udp, err := listenUDP(ctx, enter, netip.AddrPortFrom(addr.Addr(), AddrPortOf(tcp.Addr()).Port()))
		if err == nil {
			return tcp, udp, nil
		}
		closeAll(tcp)
		if addr.Port() != 0 || attempt == portAttempts || !errors.Is(err, unix.EADDRINUSE) {
			return nil, nil, err
		}
	}
}

// onWildcard calls listen with addr. When addr has no address it tries all of IPv6 and IPv4, then, on a kernel that has
// no IPv6, all of IPv4.
func onWildcard(addr netip.AddrPort, listen func(netip.AddrPort) error) error {
	if addr.Addr().IsValid() {
		return listen(addr)
	}
	err := listen(netip.AddrPortFrom(netip.IPv6Unspecified(), addr.Port()))
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
		return listen(netip.AddrPortFrom(netip.IPv4Unspecified(), addr.Port()))
	}
	return err
}

// AcceptLoop passes each connection to handle, which owns it, in its own goroutine. It returns when the listener is
// closed or the context done, after all handlers have returned; a handler's connection is closed when ctx is done.
func AcceptLoop(ctx context.Context, listener *net.TCPListener, handle func(context.Context, *net.TCPConn)) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	for {
		conn, err := listener.AcceptTCP()
		switch {
		case err == nil:
			handlers.Go(func() {
				stop := context.AfterFunc(ctx, func() { closeAll(conn) })
				defer stop()
				handle(ctx, conn)
			})
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
			// Out of file descriptors: connections wait in the backlog until others have ended.
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(10 * time.Millisecond):
			}
		default:
			return fmt.Errorf("accept connection: %w", err)
		}
	}
}

// AddrPortOf returns the address and port of a TCP or UDP socket, never IPv4-mapped and without a zone.
func AddrPortOf(addr net.Addr) netip.AddrPort {
	var at netip.AddrPort
	switch addr := addr.(type) {
	case *net.TCPAddr:
		at = addr.AddrPort()
	case *net.UDPAddr:
		at = addr.AddrPort()
	}
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// closeAll closes sockets that are no longer used. It ignores errors: reads and writes have reported them already.
func closeAll(sockets ...io.Closer) {
	for _, s := range sockets {
		s.Close()
	}
}

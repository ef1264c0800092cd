package workload

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// Peer is the other end of a connection, as a server sees it.
type Peer struct {
	// Seen is the address that the server takes for the client: the socket's other end, or the source of the PROXY header.
	Seen netip.AddrPort `json:"seen"`
	// Socket is the other end of the TCP connection; it is Seen where there is no PROXY header.
	Socket netip.AddrPort `json:"socket"`
	// ProxyHeader is the PROXY header that the server parsed; nil if it parses none.
	ProxyHeader *proxyproto.Header `json:"proxyHeader,omitempty"`
}

// PeerConn is a connection whose first bytes the server has read, and whose peer it knows.
type PeerConn struct {
	net.Conn // not the TCPConn itself: its WriteTo would bypass the reader
	tcp      *net.TCPConn
	reader   *bufio.Reader
	// Peer is the other end.
	Peer Peer
}

// Read returns buffered bytes first.
func (c *PeerConn) Read(b []byte) (int, error) { return c.reader.Read(b) }

// RemoteAddr returns the client's address as the server sees it.
func (c *PeerConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.Peer.Seen) }

// WriteTo copies everything that is received to w.
func (c *PeerConn) WriteTo(w io.Writer) (int64, error) { return c.reader.WriteTo(w) }

// CloseWrite closes the direction to the client.
func (c *PeerConn) CloseWrite() error { return c.tcp.CloseWrite() }

// Receive reads the PROXY header of a new connection, if the policy requires one. An error is a *proxyproto.Refusal, and the
// caller still has to close the connection.
func Receive(conn *net.TCPConn, policy proxyproto.Policy) (*PeerConn, error) {
	socket := AddrPortOf(conn.RemoteAddr())
	c := &PeerConn{Conn: conn, tcp: conn, reader: bufio.NewReaderSize(conn, maxFirstLine), Peer: Peer{Seen: socket, Socket: socket}}
	if !policy.Require {
		return c, nil
	}
	header, err := policy.Receive(conn, c.reader, socket.Addr())
	if err != nil {
		return nil, err
	}
	c.Peer.ProxyHeader = &header
	if header.Command == proxyproto.Proxy {
		c.Peer.Seen = header.Source
	}
	return c, nil
}

// peerKey is the key of a request's Peer in its context.
type peerKey struct{}

// PeerOf returns the peer that made a request to a server of this package.
func PeerOf(r *http.Request) Peer {
	peer, _ := r.Context().Value(peerKey{}).(Peer)
	return peer
}

// handover is an HTTP server for connections that are accepted elsewhere. It is its own net.Listener.
type handover struct {
	web    *http.Server
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandover(addr net.Addr, handler http.Handler, log *slog.Logger) *handover {
	h := &handover{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
	h.web = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       10 * time.Minute,
		// What http.Server reports about a client's broken request belongs into the log of connections.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if c, ok := conn.(*PeerConn); ok {
				return context.WithValue(ctx, peerKey{}, c.Peer)
			}
			return ctx
		},
	}
	return h
}

func (h *handover) serve() error {
	if err := h.web.Serve(h); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// close closes the server and its connections.
func (h *handover) close() {
	h.once.Do(func() { close(h.closed) })
	h.web.Close() // an error would be about sockets that are closed anyway
}

// hand passes conn to the server, which then owns it.
func (h *handover) hand(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.closed:
		closeAll(conn)
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return h.addr }

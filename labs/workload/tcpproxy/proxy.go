// Package tcpproxy is a TCP proxy that passes the client's address on to its upstream in the PROXY protocol, version 1 or 2.
//
// The upstream must parse the header, and the address in it is what the proxy saw: where the path to the proxy translates
// sources, the header carries the translator's address.
package tcpproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// Kind is the proxy's name in lists and logs.
const Kind workload.Kind = "tcpproxy"

// DefaultTimeout limits how long an upstream may take to accept a connection.
const DefaultTimeout = 5 * time.Second

// Options configure a Proxy.
type Options struct {
	// Dialer opens the proxy's sockets; its source is that of connections to upstreams.
	workload.Dialer
	// Listen is the address to listen on. Without an address it is [::], which serves IPv4 too.
	Listen netip.AddrPort
	// Upstreams get connections in turn. One that does not accept, or that failed its last check, is skipped.
	Upstreams []netip.AddrPort
	// Send is the version of the header that each upstream connection begins with; proxyproto.None sends none.
	Send proxyproto.Version
	// Accept reports whether clients' connections begin with a header, as in a chain of proxies. Its source is then what is
	// sent on, and LOCAL is sent on as LOCAL.
	Accept proxyproto.Policy
	// Timeout is how long an upstream may take to accept a connection (default 5 s).
	Timeout time.Duration
	// CheckEvery is the interval of checks of each upstream (default 0: none): by a connection of the proxy's own, which
	// begins with a LOCAL header and then ends.
	CheckEvery time.Duration
	// Log gets "seen" for each connection; nil discards.
	Log *slog.Logger
}

// Validate returns every error in the options, joined. Open calls it.
func (o *Options) Validate() error {
	errs := []error{o.Accept.Validate()}
	if len(o.Upstreams) == 0 {
		errs = append(errs, errors.New("missing upstream (want ADDR:PORT or [ADDR6]:PORT)"))
	}
	for _, upstream := range o.Upstreams {
		if err := errors.Join(workload.ValidateTarget(upstream), o.ValidateSource(upstream)); err != nil {
			errs = append(errs, fmt.Errorf("upstream: %w", err))
		}
	}
	if o.Send < proxyproto.None || o.Send > proxyproto.V2 {
		errs = append(errs, fmt.Errorf("PROXY protocol version: found %d (want 1, 2 or 0 for none)", o.Send))
	}
	if o.Timeout < 0 || o.CheckEvery < 0 {
		errs = append(errs, fmt.Errorf("timeout, check interval: found %s, %s (want 0 or more)", o.Timeout, o.CheckEvery))
	}
	return errors.Join(errs...)
}

// Proxy is a proxy that listens. It is a workload.Server: workload.Run serves it.
type Proxy struct {
	options Options
	tcp     *net.TCPListener
	pool    pool
	record  record
}

// Open opens the proxy's socket.
func Open(ctx context.Context, o Options) (*Proxy, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("start %s server: %w", Kind, err)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	o.Log = workload.LogOf(o.Log, Kind)
	tcp, err := workload.ListenTCP(ctx, o.Enter, o.Listen)
	if err != nil {
		return nil, fmt.Errorf("start %s server: %w", Kind, err)
	}
	return &Proxy{options: o, tcp: tcp, pool: pool{upstreams: o.Upstreams, down: make([]bool, len(o.Upstreams))}}, nil
}

// Listening implements workload.Server.
func (p *Proxy) Listening() workload.Listening {
	return workload.Listening{Kind: Kind, Address: workload.AddrPortOf(p.tcp.Addr())}
}

// Close implements workload.Server.
func (p *Proxy) Close() { _ = p.tcp.Close() } // a second close is harmless

// Serve implements workload.Server.
func (p *Proxy) Serve(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var checks sync.WaitGroup
	defer checks.Wait()
	defer stop()
	if p.options.CheckEvery > 0 {
		for i := range p.options.Upstreams {
			checks.Go(func() { p.checkForever(ctx, i) })
		}
	}
	return workload.AcceptLoop(ctx, p.tcp, func(ctx context.Context, conn *net.TCPConn) {
		defer conn.Close()
		entry := Entry{Peer: workload.Peer{Socket: workload.AddrPortOf(conn.RemoteAddr())}}
		err := p.handle(ctx, conn, &entry)
		if err != nil {
			entry.Error = err.Error()
		}
		p.record.add(entry, err)
		p.options.Log.Info("seen", "protocol", "tcp", "seen", entry.Peer.Seen, "socket", entry.Peer.Socket, "upstream", entry.Upstream,
			"local", entry.Local, "sent", entry.BytesUp, "received", entry.BytesDown, "error", entry.Error)
	})
}

// handle serves one connection.
func (p *Proxy) handle(ctx context.Context, conn *net.TCPConn, entry *Entry) error {
	client, err := workload.Receive(conn, p.options.Accept)
	if err != nil {
		return err
	}
	entry.Peer = client.Peer
	upstream, err := p.dial(ctx, entry)
	if err != nil {
		return err
	}
	defer upstream.Close()
	defer context.AfterFunc(ctx, func() { _ = upstream.Close() })() // which ends the copies
	if p.options.Send != proxyproto.None {
		entry.Sent = p.header(client, workload.AddrPortOf(conn.LocalAddr()))
		b, err := entry.Sent.Append(nil)
		if err != nil {
			return err
		}
		if _, err := upstream.Write(b); err != nil {
			return fmt.Errorf("send PROXY header: %w", err)
		}
	}
	return relay(client, conn, upstream, entry)
}

// header returns the header for the upstream.
func (p *Proxy) header(client *workload.PeerConn, called netip.AddrPort) *proxyproto.Header {
	before := client.Peer.ProxyHeader
	switch {
	case before == nil:
		return &proxyproto.Header{Version: p.options.Send, Command: proxyproto.Proxy, Source: client.Peer.Seen, Destination: called}
	case before.Command == proxyproto.Local:
		return &proxyproto.Header{Version: p.options.Send, Command: proxyproto.Local}
	}
	return &proxyproto.Header{Version: p.options.Send, Command: proxyproto.Proxy, Source: before.Source, Destination: before.Destination}
}

// dial connects to the upstream whose turn it is, or to the next that accepts.
func (p *Proxy) dial(ctx context.Context, entry *Entry) (*net.TCPConn, error) {
	var errs []error
	for _, upstream := range p.pool.inTurn() {
		conn, err := p.dialOne(ctx, upstream)
		if err == nil {
			entry.Upstream, entry.Local = upstream, workload.AddrPortOf(conn.LocalAddr())
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("%w: %w", errNoUpstream, errors.Join(errs...))
}

func (p *Proxy) dialOne(ctx context.Context, upstream netip.AddrPort) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	conn, err := p.options.Dial(ctx, "tcp", upstream, nil)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// errNoUpstream reports that no upstream accepted a connection.
var errNoUpstream = errors.New("no upstream accepted the connection")

// relay copies bytes both ways until both have ended. A direction that ends is closed on the other side; one that breaks
// breaks both, by RST, as it would without a proxy.
func relay(client *workload.PeerConn, conn, upstream *net.TCPConn, entry *Entry) error {
	var up, down error
	var ways sync.WaitGroup
	reset := func() {
		for _, one := range []*net.TCPConn{conn, upstream} {
			_ = one.SetLinger(0)
			_ = one.Close()
		}
	}
	ways.Go(func() {
		if entry.BytesUp, up = io.Copy(upstream, client); up != nil {
			reset()
			return
		}
		_ = upstream.CloseWrite() // fails if it is closed already
	})
	ways.Go(func() {
		if entry.BytesDown, down = io.Copy(conn, upstream); down != nil {
			reset()
			return
		}
		_ = conn.CloseWrite()
	})
	ways.Wait()
	switch {
	case up != nil && !errors.Is(up, net.ErrClosed):
		return fmt.Errorf("relay to upstream: %w", up)
	case down != nil && !errors.Is(down, net.ErrClosed):
		return fmt.Errorf("relay to client: %w", down)
	}
	return errors.Join(up, down)
}

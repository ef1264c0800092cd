package workload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// WebOptions configure a Web.
type WebOptions struct {
	// Kind is the name under which it is logged and listed.
	Kind Kind
	// Listen is as in ServerSpec.
	Listen netip.AddrPort
	// Enter is where the socket is opened; nil means here.
	Enter Enter
	// Log gets "refused" for each connection with an invalid PROXY header; nil discards.
	Log *slog.Logger
	// Handler answers the requests; PeerOf returns the peer of one.
	Handler http.Handler
	// ProxyProtocol reports whether connections begin with a PROXY header.
	ProxyProtocol proxyproto.Policy
}

// Web is a Server for HTTP/1.1, on which the proxies and applications of the packages below this one are built.
type Web struct {
	tcp     *net.TCPListener
	options WebOptions

	mu   sync.Mutex
	seen WebCounts
}

// WebCounts holds what a Web counts below HTTP.
type WebCounts struct {
	// Connections counts all accepted ones; Refused those of them without a valid PROXY header, by reason.
	Connections int                       `json:"connections"`
	Refused     map[proxyproto.Reason]int `json:"refused,omitempty"`
}

// OpenWeb opens the socket. The Web must be served, by Run, or closed.
func OpenWeb(ctx context.Context, o WebOptions) (*Web, error) {
	if err := o.ProxyProtocol.Validate(); err != nil {
		return nil, fmt.Errorf("start %s server: %w", o.Kind, err)
	}
	o.Log = LogOf(o.Log, o.Kind)
	tcp, err := ListenTCP(ctx, o.Enter, o.Listen)
	if err != nil {
		return nil, fmt.Errorf("start %s server: %w", o.Kind, err)
	}
	return &Web{tcp: tcp, options: o, seen: WebCounts{Refused: map[proxyproto.Reason]int{}}}, nil
}

// LogOf returns log with the server's kind, or a logger that discards if log is nil.
func LogOf(log *slog.Logger, kind Kind) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log.With("server", string(kind))
}

// Listening implements Server.
func (w *Web) Listening() Listening {
	return Listening{Kind: w.options.Kind, Address: AddrPortOf(w.tcp.Addr())}
}

// Close implements Server.
func (w *Web) Close() { closeAll(w.tcp) }

// Serve implements Server.
func (w *Web) Serve(ctx context.Context) error {
	web := newHandover(w.tcp.Addr(), w.options.Handler, w.options.Log)
	var served error
	var parts sync.WaitGroup
	parts.Go(func() { served = web.serve() })
	err := AcceptLoop(ctx, w.tcp, func(_ context.Context, conn *net.TCPConn) {
		known, err := Receive(conn, w.options.ProxyProtocol)
		w.count(err)
		if err != nil {
			w.options.Log.Info("refused", "socket", AddrPortOf(conn.RemoteAddr()), "error", err.Error())
			closeAll(conn)
			return
		}
		web.hand(known)
	})
	web.close()
	parts.Wait()
	return errors.Join(err, served)
}

func (w *Web) count(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen.Connections++
	if refusal := (*proxyproto.Refusal)(nil); errors.As(err, &refusal) {
		w.seen.Refused[refusal.Reason]++
	}
}

// Counts returns what was counted so far.
func (w *Web) Counts() WebCounts {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := WebCounts{Connections: w.seen.Connections, Refused: map[proxyproto.Reason]int{}}
	for reason, n := range w.seen.Refused {
		counts.Refused[reason] = n
	}
	return counts
}

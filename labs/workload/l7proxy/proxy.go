// Package l7proxy is an HTTP reverse proxy that passes the client's address on in X-Forwarded-For and in Forwarded
// (RFC 7239), and that accepts from proxies in front of it only what it is configured to trust.
//
// It is net/http/httputil.ReverseProxy with a trust policy, the choice of an upstream, and a report. It speaks HTTP/1.1
// only: it answers what it can't parse as HTTP with 400, and it has no UDP socket.
package l7proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// Kind is the proxy's name in lists and logs.
const Kind workload.Kind = "l7proxy"

// DefaultTimeout limits how long an upstream may take to accept a connection.
const DefaultTimeout = 5 * time.Second

// Options configure a Proxy.
type Options struct {
	// Dialer opens the proxy's sockets; its source is that of connections to upstreams.
	workload.Dialer
	// Listen is the address to listen on. Without an address it is [::], which serves IPv4 too.
	Listen netip.AddrPort
	// Upstreams get requests in turn. One that does not accept the connection is skipped in favour of the next.
	Upstreams []netip.AddrPort
	// Trust decides what is kept of the headers that arrive. The rest is dropped.
	Trust Trust
	// ProxyProtocol reports whether connections begin with a PROXY header, and then its source is the client.
	ProxyProtocol proxyproto.Policy
	// Timeout is how long an upstream may take to accept a connection (default 5 s).
	Timeout time.Duration
	// KeepAlive is how many connections to upstreams are kept for later requests (default 0: each request has its own).
	KeepAlive int
	// Log gets "seen" for each request; nil discards.
	Log *slog.Logger
}

// Validate returns every error in the options, joined. Open calls it.
func (o *Options) Validate() error {
	errs := []error{o.Trust.Validate(), o.ProxyProtocol.Validate()}
	if len(o.Upstreams) == 0 {
		errs = append(errs, errors.New("missing upstream (want ADDR:PORT or [ADDR6]:PORT)"))
	}
	for _, upstream := range o.Upstreams {
		if err := errors.Join(workload.ValidateTarget(upstream), o.ValidateSource(upstream)); err != nil {
			errs = append(errs, fmt.Errorf("upstream: %w", err))
		}
	}
	if o.Timeout < 0 || o.KeepAlive < 0 {
		errs = append(errs, fmt.Errorf("timeout, keep-alive: found %s, %d (want 0 or more)", o.Timeout, o.KeepAlive))
	}
	return errors.Join(errs...)
}

// Proxy is a proxy that listens. It is a workload.Server: workload.Run serves it.
type Proxy struct {
	*workload.Web
	options   Options
	transport *http.Transport
	turn      atomic.Uint64
	record    record
}

// Open opens the proxy's socket.
func Open(ctx context.Context, o Options) (*Proxy, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("start %s server: %w", Kind, err)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	p := &Proxy{options: o, transport: o.Transport(o.KeepAlive, o.Timeout)}
	p.options.Log = workload.LogOf(o.Log, Kind)
	handler := &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      p,
		FlushInterval:  -1, // a stream's client gets each piece when it arrives
		ErrorLog:       slog.NewLogLogger(p.options.Log.Handler(), slog.LevelWarn),
		ModifyResponse: p.answered,
		ErrorHandler:   p.failed,
	}
	var err error
	p.Web, err = workload.OpenWeb(ctx, workload.WebOptions{
		Kind: Kind, Listen: o.Listen, Enter: o.Enter, Log: o.Log, ProxyProtocol: o.ProxyProtocol,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), entryKey{}, &Entry{Peer: workload.PeerOf(r)})))
		}),
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Serve implements workload.Server.
func (p *Proxy) Serve(ctx context.Context) error {
	defer p.transport.CloseIdleConnections()
	return p.Web.Serve(ctx)
}

// entryKey is the key of a request's *Entry in its context.
type entryKey struct{}

func entryOf(r *http.Request) *Entry {
	entry, _ := r.Context().Value(entryKey{}).(*Entry)
	return entry
}

// rewrite sets the headers of the request to the upstream. ReverseProxy has removed the forwarding headers from it.
func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	entry := entryOf(r.In)
	peer := entry.Peer.Seen.Addr()
	entry.Path = r.In.URL.RequestURI()
	entry.Received = chainsOf(r.In.Header)
	entry.Client = p.options.Trust.Client(r.In.Header, peer)

	list := splitList(r.In.Header.Values(xForwardedFor))
	kept := p.options.Trust.trusted(list, peer)
	entry.Dropped += len(list) - kept
	for _, item := range list[len(list)-kept:] {
		r.Out.Header.Add(xForwardedFor, item)
	}
	r.Out.Header.Add(xForwardedFor, peer.String())
	joinValues(r.Out.Header, xForwardedFor)

	elements, err := ParseForwarded(r.In.Header.Values(forwardedHeader))
	if err != nil {
		entry.Dropped++
	}
	keptElements := p.options.Trust.trusted(forNodes(elements), peer)
	entry.Dropped += len(elements) - keptElements
	for _, element := range append(elements[len(elements)-keptElements:], ownElement(r.In, peer)) {
		r.Out.Header.Add(forwardedHeader, element.String())
	}
	joinValues(r.Out.Header, forwardedHeader)

	if kept+keptElements == 0 && !p.options.Trust.All {
		r.Out.Header.Del("X-Real-Ip") // it has no chain, so it can only be trusted with the others or not at all
	}
	entry.Sent = chainsOf(r.Out.Header)
	r.Out.URL.Scheme = "http"
	r.Out.URL.Host = p.options.Upstreams[0].String() // RoundTrip chooses the upstream
}

// ownElement returns this proxy's Forwarded element for a request.
func ownElement(r *http.Request, peer netip.Addr) Element {
	e := Element{For: node(peer), Host: r.Host, Proto: "http"}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		e.By = node(workload.AddrPortOf(local).Addr())
	}
	return e
}

// RoundTrip implements http.RoundTripper: it sends a request to the upstream whose turn it is, or to the next that accepts
// the connection.
func (p *Proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	upstreams := p.options.Upstreams
	first := p.turn.Add(1) - 1
	var errs []error
	for i := range upstreams {
		upstream := upstreams[(first+uint64(i))%uint64(len(upstreams))]
		attempt := r.Clone(r.Context())
		attempt.URL.Host = upstream.String()
		response, err := p.transport.RoundTrip(attempt)
		var network *net.OpError
		if err == nil || !errors.As(err, &network) || network.Op != "dial" {
			entryOf(r).Upstream = upstream
			return response, err
		}
		p.record.passedOver(upstream)
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (p *Proxy) answered(response *http.Response) error {
	entry := entryOf(response.Request)
	entry.Status = response.StatusCode
	p.finish(entry)
	return nil
}

func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	entry := entryOf(r)
	entry.Status, entry.Error = http.StatusBadGateway, err.Error()
	p.finish(entry)
	http.Error(w, "no upstream answered: "+err.Error(), http.StatusBadGateway)
}

func (p *Proxy) finish(entry *Entry) {
	p.record.add(*entry)
	p.options.Log.Info("seen", "protocol", "tcp", "spoke", "http", "seen", entry.Peer.Seen, "socket", entry.Peer.Socket,
		"client", entry.Client, "path", entry.Path, "upstream", entry.Upstream, "status", entry.Status,
		"xForwardedFor", entry.Sent.XForwardedFor, "forwarded", entry.Sent.Forwarded, "dropped", entry.Dropped)
}

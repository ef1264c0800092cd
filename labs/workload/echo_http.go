package workload

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// HTTPSeen is what the echo server says about an HTTP request, as JSON when the client accepts application/json. As
// text, the first line is Seen, the second the method and path, and one line follows for each forwarding header.
type HTTPSeen struct {
	// Seen is the other end of the TCP connection.
	Seen   netip.AddrPort `json:"seen"`
	Method string         `json:"method"`
	Path   string         `json:"path"`
	Host   string         `json:"host"`
	// XForwardedFor and Forwarded (RFC 7239) are the header's values as they came, one for each header line.
	XForwardedFor []string `json:"xForwardedFor,omitempty"`
	Forwarded     []string `json:"forwarded,omitempty"`
}

// httpEcho serves the connections that the echo server hands to it. It is their net.Listener.
type httpEcho struct {
	web    *http.Server
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	log    *slog.Logger
}

func newHTTPEcho(addr net.Addr, log *slog.Logger) *httpEcho {
	h := &httpEcho{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{}), log: log}
	h.web = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       10 * time.Minute,
		// What http.Server says about a client's broken request belongs to the log of connections.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return h
}

func (h *httpEcho) serve() error {
	if err := h.web.Serve(h); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// close ends the server and its connections.
func (h *httpEcho) close() {
	h.once.Do(func() { close(h.closed) })
	h.web.Close() // its error is that of sockets that are closed anyway
}

// hand gives conn to the server, which owns it from then on.
func (h *httpEcho) hand(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.closed:
		closeAll(conn)
	}
}

// Accept implements net.Listener.
func (h *httpEcho) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *httpEcho) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *httpEcho) Addr() net.Addr { return h.addr }

// ServeHTTP implements http.Handler.
func (h *httpEcho) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		http.Error(w, fmt.Sprintf("read client's address %q: %v", r.RemoteAddr, err), http.StatusInternalServerError)
		return
	}
	seen := HTTPSeen{
		Seen:          unmap(remote),
		Method:        r.Method,
		Path:          r.URL.RequestURI(),
		Host:          r.Host,
		XForwardedFor: r.Header.Values("X-Forwarded-For"),
		Forwarded:     r.Header.Values("Forwarded"),
	}
	h.log.Info("seen", "protocol", "tcp", "spoke", "http", "seen", seen.Seen, "method", seen.Method, "path", seen.Path,
		"xForwardedFor", seen.XForwardedFor, "forwarded", seen.Forwarded)
	w.Header().Set("Cache-Control", "no-store")
	if acceptsJSON(r.Header) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(seen) // the client may be gone
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(seen.text())
}

func (s HTTPSeen) text() []byte {
	b := fmt.Appendf(nil, "%s\n%s %s\n", s.Seen, s.Method, s.Path)
	for _, v := range s.XForwardedFor {
		b = fmt.Appendf(b, "X-Forwarded-For: %s\n", v)
	}
	for _, v := range s.Forwarded {
		b = fmt.Appendf(b, "Forwarded: %s\n", v)
	}
	return b
}

// acceptsJSON tells whether application/json is among the media types that a client names (RFC 9110 section 12.5.1).
func acceptsJSON(header http.Header) bool {
	for _, values := range header.Values("Accept") {
		for value := range strings.SplitSeq(values, ",") {
			if kind, _, err := mime.ParseMediaType(value); err == nil && kind == "application/json" {
				return true
			}
		}
	}
	return false
}

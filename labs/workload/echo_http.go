package workload

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"strings"
)

// HTTPSeen is the echo server's answer to an HTTP request, as JSON if the client accepts application/json. As
// text, the first line is Seen, the second the method and path, and one line follows for each forwarding header.
type HTTPSeen struct {
	Peer
	Method string `json:"method"`
	Path   string `json:"path"`
	Host   string `json:"host"`
	// XForwardedFor and Forwarded (RFC 7239) are the header's values as received, one for each header line.
	XForwardedFor []string `json:"xForwardedFor,omitempty"`
	Forwarded     []string `json:"forwarded,omitempty"`
	// Header holds all headers but Host, as received.
	Header http.Header `json:"header"`
}

// httpEcho answers the echo server's HTTP requests.
type httpEcho struct {
	log    *slog.Logger
	record *echoRecord
}

// ServeHTTP implements http.Handler.
func (h *httpEcho) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.record.request()
	seen := HTTPSeen{
		Peer:          PeerOf(r),
		Method:        r.Method,
		Path:          r.URL.RequestURI(),
		Host:          r.Host,
		XForwardedFor: r.Header.Values("X-Forwarded-For"),
		Forwarded:     r.Header.Values("Forwarded"),
		Header:        r.Header,
	}
	h.log.Info("seen", "protocol", "tcp", "spoke", "http", "seen", seen.Seen, "socket", seen.Socket, "method", seen.Method, "path", seen.Path,
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

// acceptsJSON reports whether application/json is among the media types that a client names (RFC 9110 section 12.5.1).
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

package ui

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// tokenHeader carries the token of the URL that `dsrlab ui` prints, with each request that changes something.
const tokenHeader = "X-Dsrlab-Token"

// contentPolicy lets the page load its own files and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard refuses what no page of this server sends. A browser runs pages of other sites beside ours: one can post here (refused by its
// origin and for want of the token), or have its name resolved to this address (DNS rebinding, refused by the Host header, as only
// addresses and localhost are served).
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case !s.servesHost(r.Host):
			http.Error(w, "Host: found a name that is not served (want localhost or an address)", http.StatusForbidden)
		case !isSameOrigin(r):
			http.Error(w, "Origin: found another site's (want this server's own)", http.StatusForbidden)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			next.ServeHTTP(w, r)
		case subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(s.config.Token)) != 1:
			http.Error(w, tokenHeader+": found no valid token (want that of the URL that `dsrlab ui` printed)", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// servesHost reports whether a Host header names localhost or an address; if only loopback is listened on, one of loopback.
func (s *Server) servesHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && (address.IsLoopback() || !s.config.Loopback)
}

// isSameOrigin reports whether a request is from a page of this server, or from no page.
func isSameOrigin(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin":
		return true
	case "none", "cross-site", "same-site": // typed in, or a link that was followed
		return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate"
	}
	return false
}

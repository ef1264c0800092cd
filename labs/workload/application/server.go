// Package application holds six small applications that need their clients' addresses: a rate limiter, an
// audit log, geolocation, a visitor count, one that calls its clients back, and a token quota. What they decide and record
// depends on the address that they see and on nothing else, so they are right where the address is the client's and
// wrong where it is another one. GET /record returns what they recorded, for comparison with the truth.
package application

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

const (
	// maxClients bounds the addresses that an application distinguishes; requests from more are answered with 503.
	maxClients = 1 << 16
	// maxRecord bounds a record's JSON.
	maxRecord = 64 << 20
)

// App is an application. Its methods are safe for concurrent use.
type App interface {
	// Kind is the application's name.
	Kind() workload.Kind
	// Serve answers a request of a client. It must use no other address of the client.
	Serve(w http.ResponseWriter, r *http.Request, client netip.AddrPort)
	// Record returns what was recorded so far, as a value that JSON can encode.
	Record() any
}

// Options configure the server of an application.
type Options struct {
	// Enter is where the socket is opened; nil means here.
	Enter workload.Enter
	// Listen is the address to listen on. Without an address it is [::], which serves IPv4 too.
	Listen netip.AddrPort
	// ProxyProtocol reports whether connections begin with a PROXY header; the client is then its source.
	ProxyProtocol proxyproto.Policy
	// Log gets "seen" for each request; nil discards.
	Log *slog.Logger
}

// Open opens the socket of a server for an application, which workload.Run serves: GET /record returns the record, and all
// other requests go to the application.
func Open(ctx context.Context, app App, o Options) (*workload.Web, error) {
	log := workload.LogOf(o.Log, app.Kind())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /record", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, app.Record()) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		peer := workload.PeerOf(r)
		log.Info("seen", "protocol", "tcp", "spoke", "http", "seen", peer.Seen, "socket", peer.Socket, "method", r.Method, "path", r.URL.RequestURI())
		w.Header().Set("Cache-Control", "no-store")
		app.Serve(w, r, peer.Seen)
	})
	return workload.OpenWeb(ctx, workload.WebOptions{
		Kind: app.Kind(), Listen: o.Listen, Enter: o.Enter, Log: o.Log, ProxyProtocol: o.ProxyProtocol, Handler: mux,
	})
}

// request returns the body of a URL, which must have status 200. It takes until ctx's deadline at most, or 10 s without one.
func request(ctx context.Context, from workload.Dialer, url string) ([]byte, error) {
	const timeout = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := from.Transport(0, timeout).RoundTrip(r)
	if errors.Is(err, io.EOF) {
		err = workload.ErrEnded
	}
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRecord))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("found status %s (want 200): %.200s", response.Status, body)
	}
	return body, err
}

func writeJSON(w http.ResponseWriter, document any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document) // the client may be gone
}

// clients holds what an application keeps for each address.
type clients[T any] struct {
	mu  sync.Mutex
	all map[netip.Addr]*T
}

// with calls f with what is kept for an address. If there are too many addresses, it answers the request with 503 itself.
func (c *clients[T]) with(w http.ResponseWriter, addr netip.Addr, f func(*T)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.all[addr]
	if one == nil && len(c.all) == maxClients {
		http.Error(w, fmt.Sprintf("more than %d clients", maxClients), http.StatusServiceUnavailable)
		return false
	}
	if one == nil {
		one = new(T)
		if c.all == nil {
			c.all = map[netip.Addr]*T{}
		}
		c.all[addr] = one
	}
	f(one)
	return true
}

// copy returns a copy of what is kept now.
func (c *clients[T]) copy() map[netip.Addr]T {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[netip.Addr]T, len(c.all))
	for addr, one := range c.all {
		all[addr] = *one
	}
	return all
}

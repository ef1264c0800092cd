package health

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// headerTime bounds how long a client may take to say what it wants: checks come from load balancers, every few seconds.
	headerTime = 5 * time.Second
	// idleTime is for how long a connection may wait for the next check.
	idleTime = 2 * time.Minute
	// mostHeader bounds the header of a request, in bytes.
	mostHeader = 8 << 10
)

// check is the health check of one service.
type check struct {
	service string // namespace/name
	port    uint16
	healthy func() bool
	log     *slog.Logger
	pods    atomic.Pointer[pods]

	server    *http.Server
	hosts     []string // listened at
	listeners []net.Listener
	serving   sync.WaitGroup
}

func newCheck(service string, port uint16, healthy func() bool, log *slog.Logger) *check {
	c := &check{service: service, port: port, healthy: healthy, log: log}
	c.server = &http.Server{
		Handler:           c,
		ReadHeaderTimeout: headerTime,
		WriteTimeout:      headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    mostHeader,
		ErrorLog:          slog.NewLogLogger(log.With("service", service).Handler(), slog.LevelDebug),
	}
	return c
}

// serve answers what comes to a listener, until close.
func (c *check) serve(host string, listener net.Listener) {
	c.hosts, c.listeners = append(c.hosts, host), append(c.listeners, listener)
	c.serving.Go(func() {
		if err := c.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.log.Error("health check ended", "service", c.service, "port", c.port, "error", err)
		}
	})
}

// close returns when the port is free.
func (c *check) close() {
	_ = c.server.Close()
	for _, listener := range c.listeners {
		_ = listener.Close() // one that was not served yet, the server does not know
	}
	c.serving.Wait()
}

// answer is the body of an answer, as kube-proxy has it.
type answer struct {
	Service struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"service"`
	LocalEndpoints      int  `json:"localEndpoints"`
	ServiceProxyHealthy bool `json:"serviceProxyHealthy"`
}

// ServeHTTP answers any method at any path.
func (c *check) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var a answer
	a.Service.Namespace, a.Service.Name, _ = strings.Cut(c.service, "/")
	a.LocalEndpoints = c.pods.Load().of(isIPv6(r))
	a.ServiceProxyHealthy = c.healthy()
	body, err := json.MarshalIndent(a, "", "\t")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(a.LocalEndpoints))
	status := http.StatusServiceUnavailable
	if a.LocalEndpoints > 0 && a.ServiceProxyHealthy {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// isIPv6 reports whether the request came to an IPv6 address.
func isIPv6(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && at.Addr().Unmap().Is6()
}

// Package health serves a service's healthCheckNodePort: an external load balancer asks each node there whether it has pods of
// a service with externalTrafficPolicy Local, and sends clients only to nodes that have. It answers as kube-proxy does
// (Kubernetes, pkg/proxy/healthcheck/service_health.go).
package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// ErrClosed says that Sync was called after Close.
var ErrClosed = errors.New("the health check server is closed")

// Options of a Server. The zero value is usable.
type Options struct {
	// Listen opens a listener, for instance from inside a network namespace (default that of a net.ListenConfig). The network is
	// tcp, the address HOST:PORT, or :PORT for all addresses of both families.
	Listen func(ctx context.Context, network, address string) (net.Listener, error)
	// Addresses are where to listen (default all of the node).
	Addresses []netip.Addr
	// Healthy reports whether the data path does its work; without it no node is healthy. It is asked for each request, by
	// several at once (default: always).
	Healthy func() bool
}

// Server answers health checks of one node. It is safe for concurrent use.
type Server struct {
	log     *slog.Logger
	options Options

	mu     sync.Mutex
	checks map[string]*check // by service
	closed bool
}

// New makes a server that listens nowhere yet. A nil log discards.
func New(log *slog.Logger, options Options) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if options.Listen == nil {
		options.Listen = new(net.ListenConfig).Listen
	}
	if options.Healthy == nil {
		options.Healthy = func() bool { return true }
	}
	return &Server{log: log, options: options, checks: map[string]*check{}}
}

// Sync listens for the services that tables have with a healthCheckNodePort, answers for the pods of the named node, and
// closes what is not asked for any more; all others are left alone. Where it can't listen it goes on with the rest, names
// service and port in the error, and tries again with the next Sync. The tables are not kept.
func (s *Server) Sync(tables *services.Tables, node string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("sync health checks: %w", ErrClosed)
	}
	wanted := wantedOf(tables, node)
	for service, c := range s.checks { // before others open: a port may have gone from one service to another
		if w, ok := wanted[service]; !ok || w.port != c.port {
			s.log.Info("closing health check", "service", service, "port", c.port)
			c.close()
			delete(s.checks, service)
		}
	}
	var errs []error
	for _, service := range sortedNames(wanted) {
		c := s.checks[service]
		if c == nil {
			c = newCheck(service, wanted[service].port, s.options.Healthy, s.log)
			s.checks[service] = c
		}
		c.pods.Store(&wanted[service].pods)
		errs = append(errs, s.listen(c))
	}
	return errors.Join(errs...)
}

// listen opens those listeners of a check that are not open.
func (s *Server) listen(c *check) error {
	hosts := []string{""}
	if len(s.options.Addresses) > 0 {
		hosts = hosts[:0]
		for _, address := range s.options.Addresses {
			hosts = append(hosts, address.String())
		}
	}
	var errs []error
	for _, host := range hosts {
		if slices.Contains(c.hosts, host) {
			continue
		}
		address := net.JoinHostPort(host, strconv.Itoa(int(c.port)))
		listener, err := s.options.Listen(context.Background(), "tcp", address)
		if err != nil {
			errs = append(errs, fmt.Errorf("listen for health checks of service %s on port %d: %w", c.service, c.port, err))
			continue
		}
		s.log.Info("answering health checks", "service", c.service, "address", address)
		c.serve(host, listener)
	}
	return errors.Join(errs...)
}

// Close stops all listeners and waits for them. It can be called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for service, c := range s.checks {
		c.close()
		delete(s.checks, service)
	}
	return nil
}

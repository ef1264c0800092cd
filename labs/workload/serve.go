package workload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
)

// Listening describes one server that accepts connections.
type Listening struct {
	Kind Kind `json:"kind"`
	// Address is the address that it listens on; [::] includes IPv4. The same port serves UDP too if the kind is echo or dns.
	Address netip.AddrPort `json:"address"`
}

// Servers are the running servers of a process.
type Servers struct {
	listening []Listening
	stop      context.CancelFunc
	done      sync.WaitGroup

	mu  sync.Mutex
	err error
}

// Server is one server whose sockets are open.
type Server interface {
	// Serve accepts connections until Close is called or ctx is done. It must be called at most once.
	Serve(ctx context.Context) error
	// Listening returns the server's kind and address.
	Listening() Listening
	// Close closes the sockets; it may be called at any time, and more than once.
	Close()
}

// Start opens the sockets of all specs, inside enter, and serves until ctx is done or Close is called. When it returns
// without an error, all servers listen; if one of them can't, none does. Each connection, datagram and request is
// logged to log with the message "seen" and the client's address as attribute seen; a nil log discards.
func Start(ctx context.Context, enter Enter, log *slog.Logger, specs ...ServerSpec) (*Servers, error) {
	var opened []Server
	var errs []error
	for _, spec := range specs {
		s, err := Open(ctx, enter, log, spec)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		opened = append(opened, s)
	}
	if len(errs) > 0 {
		for _, s := range opened {
			s.Close()
		}
		return nil, errors.Join(errs...)
	}
	return Run(ctx, opened...), nil
}

// Run serves until ctx is done or Close is called; the failure of one server ends the others. It is for servers that are open
// already, including those of the packages below this one. Start does the same for this package's kinds.
func Run(ctx context.Context, opened ...Server) *Servers {
	ctx, stop := context.WithCancel(ctx)
	servers := &Servers{stop: stop}
	for _, s := range opened {
		servers.listening = append(servers.listening, s.Listening())
		servers.done.Go(func() { servers.run(ctx, s) })
	}
	return servers
}

// Open opens the sockets of one server, which must be served, by Run, or closed.
func Open(ctx context.Context, enter Enter, log *slog.Logger, spec ServerSpec) (Server, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	log = LogOf(log, spec.Kind)
	var s Server
	var err error
	switch spec.Kind {
	case KindEcho:
		return OpenEcho(ctx, enter, log, EchoOptions{Listen: spec.Listen, ProxyProtocol: spec.ProxyProtocol})
	case KindBulk:
		s, err = openBulk(ctx, enter, log, spec.Listen)
	case KindDNS:
		s, err = openDNS(ctx, enter, log, spec.Listen)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s server: %w", spec.Kind, err)
	}
	return s, nil
}

func (s *Servers) run(ctx context.Context, one Server) {
	stop := context.AfterFunc(ctx, one.Close)
	defer stop()
	err := one.Serve(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	s.err = errors.Join(s.err, err)
	s.mu.Unlock()
	s.stop() // a pod without some of its servers is worse than none
}

// Listening returns the servers in the order in which they were given.
func (s *Servers) Listening() []Listening { return s.listening }

// Wait waits until all servers have ended. It returns nil if they were told to, else the error that ended them.
func (s *Servers) Wait() error {
	s.done.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends all servers and their connections, and waits for them.
func (s *Servers) Close() error {
	s.stop()
	return s.Wait()
}

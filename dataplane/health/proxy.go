package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// ProxyPort is where kube-proxy, and whoever stands in for it, answers for the node as a whole. Load balancers in front of clusters ask
// there about nodes of services with externalTrafficPolicy Cluster (KEP-3836).
const ProxyPort = 10256

// listenRetry is how long to wait until a port may have become free. kube-proxy waits as long.
const listenRetry = 5 * time.Second

// ProxyOptions are those of a Proxy. Its functions are called for each request, by several at once.
type ProxyOptions struct {
	// Address is HOST:PORT or :PORT.
	Address string
	// Listen opens a listener (default that of a net.ListenConfig).
	Listen func(ctx context.Context, network, address string) (net.Listener, error)
	// Healthy reports whether the data path does its work.
	Healthy func() bool
	// Eligible reports whether the node should get new connections: it is not being drained or deleted.
	Eligible func() bool
	Log      *slog.Logger
}

// Proxy answers /healthz and /livez of a node with kube-proxy's status codes and bodies (Kubernetes,
// pkg/proxy/healthcheck/proxy_health.go). healthz is for load balancers: it fails with status 503 where the node is not eligible, too.
// livez is for who restarts the agent.
type Proxy struct {
	options ProxyOptions
	server  *http.Server
	stop    context.CancelFunc
	done    chan struct{}

	mu          sync.Mutex
	lastHealthy time.Time
}

// ServeProxy begins to answer. Where it can't listen it says so in the log, and tries again until it can, or Close.
func ServeProxy(o ProxyOptions) *Proxy {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Listen == nil {
		o.Listen = new(net.ListenConfig).Listen
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Proxy{options: o, stop: stop, done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", p.healthz)
	mux.HandleFunc("/livez", p.livez)
	p.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTime, WriteTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: mostHeader,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	go p.run(ctx)
	return p
}

// Close returns when the port is free.
func (p *Proxy) Close() error {
	p.stop()
	_ = p.server.Close()
	<-p.done
	return nil
}

func (p *Proxy) run(ctx context.Context) {
	defer close(p.done)
	var told string
	for {
		err := p.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if err.Error() != told {
			told = err.Error()
			p.options.Log.Error("health checks of the node: trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(listenRetry):
		}
	}
}

// serve returns when the port is free again.
func (p *Proxy) serve(ctx context.Context) error {
	listener, err := p.options.Listen(ctx, "tcp", p.options.Address)
	if err != nil {
		return fmt.Errorf("listen at %s: %w", p.options.Address, err)
	}
	p.options.Log.Info("answering health checks of the node", "address", p.options.Address)
	err = p.server.Serve(listener)
	_ = listener.Close() // Serve doesn't where Close came first
	if errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return fmt.Errorf("serve at %s: %w", p.options.Address, err)
}

// look returns when the data path was last seen to do its work, and whether it does now.
func (p *Proxy) look(now time.Time) (last time.Time, healthy bool) {
	healthy = p.options.Healthy()
	p.mu.Lock()
	defer p.mu.Unlock()
	if healthy {
		p.lastHealthy = now
	}
	return p.lastHealthy, healthy
}

func (p *Proxy) healthz(w http.ResponseWriter, _ *http.Request) {
	now := time.Now().Round(0) // without the monotonic reading, which String would show
	last, healthy := p.look(now)
	eligible := p.options.Eligible()
	writeStatus(w, healthy && eligible)
	fmt.Fprintf(w, `{"lastUpdated": %q,"currentTime": %q, "nodeEligible": %v}`, last, now, eligible)
}

func (p *Proxy) livez(w http.ResponseWriter, _ *http.Request) {
	now := time.Now().Round(0)
	last, healthy := p.look(now)
	writeStatus(w, healthy)
	fmt.Fprintf(w, `{"lastUpdated": %q,"currentTime": %q}`, last, now)
}

func writeStatus(w http.ResponseWriter, healthy bool) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if healthy {
		w.WriteHeader(http.StatusOK)
	} else {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// Package agent is what runs on a node beside its data path, which needs no process: it answers the health checks of services
// with externalTrafficPolicy Local, and shows the node's counters to Prometheus.
package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dsrlab/dsrlab/dataplane/health"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/internal/bounded"
)

// Options of an agent.
type Options struct {
	// Node is the name of the node that it runs on.
	Node string
	// Tables is a file with the services.Tables of the cluster, as JSON. It may come later, change, and go; whoever writes it
	// puts a new one in its place by renaming.
	Tables string
	// PinDir is the folder of the node's data path on a bpffs; there need be none.
	PinDir string
	// Metrics is where to serve /metrics and /healthz, as in :9964; empty: nowhere.
	Metrics string
	// Collectors are shown beside the data path's own metrics.
	Collectors []prometheus.Collector
	Log        *slog.Logger
}

const (
	pollEvery       = 100 * time.Millisecond // how old a change of Tables may get
	shutdownTimeout = time.Second
	headerTimeout   = 5 * time.Second
)

// Run serves until ctx ends.
func Run(ctx context.Context, o Options) (err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	checks := health.New(o.Log, health.Options{})
	defer func() { err = errors.Join(err, checks.Close()) }()
	if o.Metrics != "" {
		stop, err := Serve(ctx, o, func() error { return nil })
		if err != nil {
			return err
		}
		defer stop()
	}
	f := follower{options: o, checks: checks}
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if err := f.look(); err != nil {
			o.Log.Error("tables", "file", o.Tables, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// follower keeps the health checks as the file says.
type follower struct {
	options Options
	checks  *health.Server
	last    []byte
}

// look reads the file, and does nothing if it is as it was.
func (f *follower) look() error {
	raw, err := bounded.ReadFile(f.options.Tables, bounded.Records)
	if errors.Is(err, os.ErrNotExist) {
		raw, err = []byte("{}"), nil
	}
	if err != nil || bytes.Equal(raw, f.last) {
		return err
	}
	f.last = raw
	var tables services.Tables
	if err := json.Unmarshal(raw, &tables); err != nil {
		return fmt.Errorf("read tables: %w", err)
	}
	return f.checks.Sync(&tables, f.options.Node)
}

// Serve answers /metrics and /healthz at o.Metrics until stop is called. healthz says what is wrong with status 503.
func Serve(ctx context.Context, o Options, healthy func() error) (stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Metrics)
	if err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metricsHandler{o})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error("serve metrics", "error", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		_ = server.Shutdown(ctx)
	}, nil
}

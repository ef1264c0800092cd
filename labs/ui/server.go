// Package ui serves one page for a running testbed: the topology with the traffic on it, and what can be changed while it runs.
//
// Server is the page and its API; Live is the testbed behind it. Counters, tables and flows are read once per second while somebody views
// the page, for all viewers together, once more soon after each change, and not at all while nobody does.
package ui

import (
	"context"
	"embed"
	"io/fs"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/dsrlab/dsrlab/labs/observe"
	"github.com/dsrlab/dsrlab/topologies"
)

//go:embed static
var static embed.FS

// Testbed is what the page shows and changes.
type Testbed interface {
	// Name and Plan are what runs.
	Name() string
	Plan() *topologies.Plan
	// Read reads all counters, and State is the page's state with the rates since an earlier reading.
	Read(ctx context.Context) (Reading, error)
	State(before, now Reading) State
	// EndReading is called when nobody views the page any more, and releases what Read holds until then.
	EndReading()
	// The rest are the page's buttons. One change is made at a time; ErrBusy is the answer to others meanwhile.
	SetMode(ctx context.Context, service, mode string) error
	SetLimit(ctx context.Context, node string, limit topologies.Limit) error
	SetNode(ctx context.Context, node string, up bool) error
	StartDownload(ctx context.Context, client, service string) error
	StopDownload()
	Trace(ctx context.Context, client, service string) (*observe.TraceReport, error)
	// Labs are what RunLab can start, one at a time, and StopLab interrupts.
	Labs() ([]LabChoice, error)
	RunLab(ctx context.Context, name string) error
	StopLab()
}

// Config of a server.
type Config struct {
	Testbed Testbed
	// Token must come with each request that changes something.
	Token string
	// Loopback: only addresses of loopback are listened on, and served.
	Loopback bool
	// Interval between readings while somebody views the page (default 1 s).
	Interval time.Duration
}

// Server is an http.Handler.
type Server struct {
	config  Config
	hub     *hub
	handler http.Handler
}

// New returns a server. It reads nothing until the page is viewed.
func New(config Config) (*Server, error) {
	if config.Interval == 0 {
		config.Interval = time.Second
	}
	files, err := fs.Sub(static, "static")
	if err != nil {
		return nil, err
	}
	s := &Server{config: config, hub: newHub(config.Testbed, config.Interval)}
	mux := http.NewServeMux()
	mux.Handle("GET /", pageFiles(files))
	mux.HandleFunc("GET /topology.svg", s.topology)
	mux.HandleFunc("GET /api/testbed", s.describe)
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("POST /api/mode", s.post(s.setMode))
	mux.HandleFunc("POST /api/limit", s.post(s.setLimit))
	mux.HandleFunc("POST /api/node", s.post(s.setNode))
	mux.HandleFunc("POST /api/download", s.post(s.setDownload))
	mux.HandleFunc("POST /api/trace", s.post(s.trace))
	mux.HandleFunc("POST /api/lab", s.post(s.runLab))
	s.handler = s.guard(mux)
	return s, nil
}

// ServeHTTP is http.Handler's.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// pageFiles serves the page's own files. A path that is no UTF-8 names none of them: package fs calls it invalid, which FileServerFS
// would answer with 500.
func pageFiles(files fs.FS) http.Handler {
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !utf8.ValidString(r.URL.Path) {
			http.NotFound(w, r)
			return
		}
		server.ServeHTTP(w, r)
	})
}

// topology draws the plan, wide or narrow.
func (s *Server) topology(w http.ResponseWriter, r *http.Request) {
	layout := Layout(r.URL.Query().Get("layout"))
	if layout != Wide && layout != Narrow {
		http.Error(w, "layout: want wide or narrow", http.StatusBadRequest)
		return
	}
	picture, err := Draw(s.config.Testbed.Plan(), layout)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	_, _ = w.Write(picture)
}

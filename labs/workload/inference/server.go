package inference

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// Kind is the server's name in lists and logs.
const Kind workload.Kind = "inference"

// Options configure a Server.
type Options struct {
	// Enter is where the socket is opened; nil means here.
	Enter workload.Enter
	// Listen is the address to listen on. Without an address it is [::], which serves IPv4 too.
	Listen netip.AddrPort
	// ProxyProtocol reports whether connections begin with a PROXY header.
	ProxyProtocol proxyproto.Policy
	// Log gets "seen" for each request; nil discards.
	Log *slog.Logger
}

// Server answers requests of any shape. It is a workload.Server: workload.Run serves it.
//
// POST /infer?response=BYTES[&token=BYTES&rate=PER_SECOND][&compute=SECONDS] reads the body, waits, and answers with that
// many bytes: in one piece, or with token as Server-Sent Events, one a token, numbered from 0. The tokens are made on a
// schedule: one that is late does not delay those after it. The trailer X-Token-Pace reports how well the schedule was kept.
type Server struct {
	*workload.Web
	log *slog.Logger

	mu     sync.Mutex
	report ServerReport
}

// ServerReport holds what a server has done, for the requests that have ended.
type ServerReport struct {
	workload.WebCounts
	// Requests were answered completely; Aborted were not, because the client left or its request broke; Refused were
	// invalid.
	Requests int `json:"requests"`
	Aborted  int `json:"aborted"`
	Refused  int `json:"refusedRequests"`
	// BytesIn and BytesOut count the bytes of bodies.
	BytesIn  int64 `json:"bytesIn"`
	BytesOut int64 `json:"bytesOut"`
}

// Open opens the server's socket.
func Open(ctx context.Context, o Options) (*Server, error) {
	s := &Server{log: workload.LogOf(o.Log, Kind)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /infer", s.infer)
	var err error
	s.Web, err = workload.OpenWeb(ctx, workload.WebOptions{
		Kind: Kind, Listen: o.Listen, Enter: o.Enter, Log: o.Log, ProxyProtocol: o.ProxyProtocol, Handler: mux,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Report returns what the server has done so far.
func (s *Server) Report() ServerReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	report := s.report
	report.WebCounts = s.Counts()
	return report
}

// order holds the parameters of a request.
type order struct {
	response int64
	stream   stream
	compute  time.Duration
}

// query encodes the order as a URL query.
func (o order) query() string {
	q := url.Values{"response": {strconv.FormatInt(o.response, 10)}}
	if o.stream.token > 0 {
		q.Set("token", strconv.FormatInt(o.stream.token, 10))
		q.Set("rate", strconv.FormatFloat(o.stream.rate, 'g', -1, 64))
	}
	if o.compute > 0 {
		q.Set("compute", strconv.FormatFloat(o.compute.Seconds(), 'g', -1, 64))
	}
	return q.Encode()
}

func parseOrder(q url.Values) (order, error) {
	var o order
	var errs []error
	var err error
	if o.response, err = strconv.ParseInt(q.Get("response"), 10, 64); err != nil || o.response < 1 || o.response > maxBody {
		errs = append(errs, fmt.Errorf("response: found %q (want 1 to %d bytes)", q.Get("response"), maxBody))
	}
	if token := q.Get("token"); token != "" {
		if o.stream.token, err = strconv.ParseInt(token, 10, 64); err != nil {
			errs = append(errs, fmt.Errorf("token: found %q (want bytes)", token))
		}
	}
	if rate := q.Get("rate"); rate != "" {
		if o.stream.rate, err = strconv.ParseFloat(rate, 64); err != nil {
			errs = append(errs, fmt.Errorf("rate: found %q (want tokens per second)", rate))
		}
	}
	if compute := q.Get("compute"); compute != "" {
		seconds, err := strconv.ParseFloat(compute, 64)
		if err != nil || !(seconds >= 0 && seconds <= maxCompute.Seconds()) {
			errs = append(errs, fmt.Errorf("compute: found %q (want 0 to %v seconds)", compute, maxCompute.Seconds()))
		}
		o.compute = time.Duration(seconds * float64(time.Second))
	}
	if len(errs) == 0 {
		errs = append(errs, o.stream.validate())
	}
	return o, errors.Join(errs...)
}

func (s *Server) infer(w http.ResponseWriter, r *http.Request) {
	peer := workload.PeerOf(r)
	o, err := parseOrder(r.URL.Query())
	if err != nil {
		s.count(func(report *ServerReport) { report.Refused++ })
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	in, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
	var out int64
	if err == nil {
		w.Header().Set(requestBytes, strconv.FormatInt(in, 10))
		out, err = o.answer(r.Context(), w)
	}
	s.count(func(report *ServerReport) {
		report.BytesIn += in
		report.BytesOut += out
		if err != nil {
			report.Aborted++
		} else {
			report.Requests++
		}
	})
	log := s.log.With("protocol", "tcp", "spoke", "http", "seen", peer.Seen, "received", in, "sent", out, "tokens", o.stream.token > 0)
	if err != nil {
		log.Info("lost", "error", err.Error())
		panic(http.ErrAbortHandler) // net/http's way to break a response that has begun
	}
	log.Info("seen")
}

func (s *Server) count(change func(*ServerReport)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.report)
}

// requestBytes is the response header with the size of the request's body as received.
const requestBytes = "X-Request-Bytes"

package download

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// Kind is the server's name in lists and logs.
const Kind workload.Kind = "download"

const (
	// requestTimeout limits how long a client may take to send its request.
	requestTimeout = 10 * time.Second
	// maxRequest bounds the request line.
	maxRequest = 1 << 10
	// maxBytes and maxRate bound a download.
	maxBytes = 1 << 40
	maxRate  = 10e9
	// pace is how often a download gets a chunk, and maxChunk the largest one: at higher rates chunks are sent more often.
	pace     = 200 * time.Millisecond
	maxChunk = 64 << 10
	// serverStall is how long the server tries to send to a client that reads nothing: longer than any client waits, so
	// that the client decides.
	serverStall = 2 * time.Minute
)

// request is a client's request.
type request struct {
	Key   uint64  `json:"key"`
	Bytes int64   `json:"bytes"`
	Rate  float64 `json:"rate"` // bit/s
}

func (r request) validate() error {
	var errs []error
	if r.Bytes < 1 || r.Bytes > maxBytes {
		errs = append(errs, fmt.Errorf("bytes: found %d (want 1 to %d)", r.Bytes, int64(maxBytes)))
	}
	if !(r.Rate > 0 && r.Rate <= maxRate) {
		errs = append(errs, fmt.Errorf("rate: found %v (want more than 0 and at most %d bit/s)", r.Rate, int64(maxRate)))
	}
	return errors.Join(errs...)
}

// chunk returns how many bytes are sent at once.
func (r request) chunk() int {
	return int(min(max(r.Rate/8*pace.Seconds(), 1), maxChunk))
}

// due returns when bytes after the first n are due, since the start of the download.
func (r request) due(n int64) time.Duration {
	return time.Duration(float64(n) * 8 / r.Rate * float64(time.Second))
}

// Server sends downloads. It is a workload.Server: workload.Run serves it.
type Server struct {
	tcp *net.TCPListener
	log *slog.Logger

	mu     sync.Mutex
	report ServerReport
}

// ServerReport holds what a server has done.
type ServerReport struct {
	// Running counts downloads in progress, Completed those that were sent completely, Broken those that were not, and Refused
	// connections without a valid request.
	Running   int `json:"running"`
	Completed int `json:"completed"`
	Broken    int `json:"broken"`
	Refused   int `json:"refused"`
	// Bytes counts what was written to sockets.
	Bytes int64 `json:"bytes"`
}

// ServerOptions configure a Server.
type ServerOptions struct {
	// Enter is where the socket is opened; nil means here.
	Enter workload.Enter
	// Listen is the address to listen on. Without an address it is [::], which serves IPv4 too.
	Listen netip.AddrPort
	// Log gets "seen" and "sent" for each download; nil discards.
	Log *slog.Logger
}

// Open opens the server's socket.
func Open(ctx context.Context, o ServerOptions) (*Server, error) {
	tcp, err := workload.ListenTCP(ctx, o.Enter, o.Listen)
	if err != nil {
		return nil, fmt.Errorf("start %s server: %w", Kind, err)
	}
	return &Server{tcp: tcp, log: workload.LogOf(o.Log, Kind)}, nil
}

// Listening implements workload.Server.
func (s *Server) Listening() workload.Listening {
	return workload.Listening{Kind: Kind, Address: workload.AddrPortOf(s.tcp.Addr())}
}

// Close implements workload.Server.
func (s *Server) Close() { _ = s.tcp.Close() } // a second close is harmless

// Report returns what the server has done so far.
func (s *Server) Report() ServerReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

func (s *Server) count(change func(*ServerReport)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.report)
}

// Serve implements workload.Server.
func (s *Server) Serve(ctx context.Context) error {
	return workload.AcceptLoop(ctx, s.tcp, func(ctx context.Context, conn *net.TCPConn) {
		defer conn.Close()
		log := s.log.With("protocol", "tcp", "seen", workload.AddrPortOf(conn.RemoteAddr()), "local", workload.AddrPortOf(conn.LocalAddr()))
		r, err := readRequest(conn)
		if err != nil {
			s.count(func(r *ServerReport) { r.Refused++ })
			log.Info("refused", "error", err.Error())
			return
		}
		log.Info("seen", "bytes", r.Bytes, "rate", r.Rate)
		s.count(func(r *ServerReport) { r.Running++ })
		err = s.send(ctx, conn, r)
		s.count(func(r *ServerReport) {
			r.Running--
			if err != nil {
				r.Broken++
			} else {
				r.Completed++
			}
		})
		if err != nil {
			_ = conn.SetLinger(0) // RST, so that the client does not take it for complete
			log.Info("lost", "error", err.Error())
			return
		}
		log.Info("sent")
	})
}

func readRequest(conn *net.TCPConn) (request, error) {
	// Setting a deadline fails on a closed socket only, and then the read fails too.
	_ = conn.SetReadDeadline(time.Now().Add(requestTimeout))
	line, err := bufio.NewReader(io.LimitReader(conn, maxRequest)).ReadBytes('\n')
	if err != nil {
		return request{}, fmt.Errorf("read request: %w", err)
	}
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return request{}, fmt.Errorf("read request: %w", err)
	}
	return r, r.validate()
}

// send sends the content. A chunk that is late does not delay those after it.
func (s *Server) send(ctx context.Context, conn *net.TCPConn, r request) error {
	content := content{r.Key}
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	chunk := make([]byte, r.chunk())
	for sent := int64(0); sent < r.Bytes; {
		timer.Reset(time.Until(began.Add(r.due(sent))))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		chunk = chunk[:min(int64(len(chunk)), r.Bytes-sent)]
		content.fill(chunk, sent)
		_ = conn.SetWriteDeadline(time.Now().Add(serverStall))
		n, err := conn.Write(chunk)
		sent += int64(n)
		s.count(func(r *ServerReport) { r.Bytes += int64(n) })
		if err != nil {
			return fmt.Errorf("send byte %d of %d: %w", sent, r.Bytes, err)
		}
	}
	return nil
}

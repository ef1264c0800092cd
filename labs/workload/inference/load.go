package inference

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/arrival"
)

// DefaultTimeout limits one request, from when it is due.
const DefaultTimeout = time.Minute

// LoadOptions configure Load.
type LoadOptions struct {
	// Dialer opens the clients' sockets.
	workload.Dialer
	// Target is an inference server, or a frontend of inference servers.
	Target netip.AddrPort
	Shape  Shape
	// Process describes when requests begin. Its seed determines the sizes too: those of the i-th request are the same whenever
	// the seed is.
	Process arrival.Process
	// KeepAlive lets requests share connections; otherwise each has its own.
	KeepAlive bool
	// Timeout limits one request, from when it is due (default 1 min).
	Timeout time.Duration
}

// Validate returns every error in the options, joined. Load calls it.
func (o *LoadOptions) Validate() error {
	errs := []error{workload.ValidateTarget(o.Target), o.ValidateSource(o.Target), o.Shape.Validate(), o.Process.Validate()}
	if o.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: found %s (want 0 or more)", o.Timeout))
	}
	if o.Source.Port() != 0 {
		errs = append(errs, fmt.Errorf("source port: found %d (want none for several requests, which can't share it)", o.Source.Port()))
	}
	return errors.Join(errs...)
}

// Load makes the requests and reports their results. A request that fails is an outcome, not an error; an error means invalid
// options, or that ctx ended before all were done, and then the report covers those that began.
func Load(ctx context.Context, o LoadOptions) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	keep := 0
	if o.KeepAlive {
		keep = max(o.Process.Workers, arrival.DefaultInFlight)
	}
	transport := o.Transport(keep, o.Timeout)
	defer transport.CloseIdleConnections()
	l := &load{options: &o, transport: transport}
	made, err := o.Process.Run(ctx, l.request)
	report := newReport(&o, made, l.samples)
	if err != nil {
		return report, fmt.Errorf("load %s: %w", o.Target, err)
	}
	return report, nil
}

// load is a load in progress.
type load struct {
	options   *LoadOptions
	transport *http.Transport

	mu      sync.Mutex
	samples []Sample
}

// request performs one request.
func (l *load) request(ctx context.Context, call arrival.Call) {
	o := l.options
	random := rand.New(rand.NewPCG(o.Process.Seed, uint64(call.Index)))
	sample := Sample{Index: call.Index, Due: call.Offset, Request: o.Shape.Request.draw(random), Response: o.Shape.Response.draw(random)}
	ctx, cancel := context.WithDeadline(ctx, call.Due.Add(o.Timeout))
	defer cancel()
	err := l.exchange(ctx, call.Due, &sample)
	sample.Completion = time.Since(call.Due)
	sample.Outcome = workload.OutcomeOf(err)
	if err != nil {
		sample.Error = err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, sample)
}

// exchange sends the request and reads the response.
func (l *load) exchange(ctx context.Context, due time.Time, sample *Sample) error {
	ask := order{response: sample.Response, stream: l.options.Shape.stream(), compute: l.options.Shape.Compute}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { sample.Local = workload.AddrPortOf(info.Conn.LocalAddr()) },
	})
	body := &countedBody{left: sample.Request}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://%s/infer?%s", l.options.Target, ask.query()), body)
	if err != nil {
		return err
	}
	request.ContentLength = sample.Request
	if sample.Request == 0 {
		request.Body = http.NoBody
	}
	response, err := l.transport.RoundTrip(request)
	sample.BytesOut = body.sent.Load()
	if errors.Is(err, io.EOF) {
		err = workload.ErrEnded
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // as much as arrives
		return fmt.Errorf("found status %s (want 200): %s", response.Status, text)
	}
	reader := &timedBody{body: response.Body, due: due, sample: sample}
	if ask.stream.token > 0 {
		err = reader.readTokens(ask)
	} else {
		err = reader.readAll()
	}
	sample.BytesOut = body.sent.Load()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", workload.ErrEnded, err)
	}
	if err != nil {
		return fmt.Errorf("read response: %w", err)
	}
	if sample.BytesIn != sample.Response {
		return fmt.Errorf("response: found %d bytes (want %d)", sample.BytesIn, sample.Response)
	}
	if got := response.Header.Get(requestBytes); got != strconv.FormatInt(sample.Request, 10) {
		return fmt.Errorf("request: server got %s bytes (want %d)", got, sample.Request)
	}
	if pace, err := strconv.ParseFloat(response.Trailer.Get(tokenPace), 64); err == nil { // a proxy in between may have dropped it
		sample.Pace = time.Duration(pace * float64(time.Second))
	}
	return nil
}

// countedBody is a request's body.
type countedBody struct {
	left int64
	sent atomic.Int64 // the transport may still be reading when the response has arrived
}

// Read implements io.Reader.
func (b *countedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, _ := filler{}.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.sent.Add(int64(n))
	return n, nil
}

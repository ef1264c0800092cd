package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxBody is how much of a response's body is kept; the rest is only counted.
const maxBody = 64 << 10

// GetOptions configure Get.
type GetOptions struct {
	Dialer
	// URL is http://ADDR[:PORT]/…; ADDR is numeric.
	URL string
	// Header is sent with each request; Host replaces the URL's.
	Header http.Header
	// KeepAlive lets requests share connections; otherwise each has its own.
	KeepAlive bool
	// Count, Concurrency and Timeout are as in ConnectOptions, for requests instead of connections.
	Count       int
	Concurrency int
	Timeout     time.Duration
}

// Response is the result of one request.
type Response struct {
	// Status is the HTTP status code, 0 if there was no response.
	Status int `json:"status,omitzero"`
	// Local is the client's end of the connection. Seen is the first line of the body, if it is ADDR:PORT as
	// the echo server sends it.
	Local netip.AddrPort `json:"local,omitzero"`
	Seen  netip.AddrPort `json:"seen,omitzero"`
	// Preserved reports whether the server saw the client's own address.
	Preserved bool `json:"preserved"`
	// Outcome is ok for a complete response of any status.
	Outcome Outcome `json:"outcome"`
	Error   string  `json:"error,omitempty"`
	// FirstByte and Total are from the start, including connection set-up, to the response's first and last byte, in
	// nanoseconds.
	FirstByte time.Duration `json:"firstByteNs,omitzero"`
	Total     time.Duration `json:"totalNs,omitzero"`
	// Bytes is the body's length; Body is its beginning, at most 64 KiB.
	Bytes int64  `json:"bytes"`
	Body  string `json:"body,omitempty"`
}

// GetReport is the result of all requests.
type GetReport struct {
	URL       string          `json:"url"`
	Count     int             `json:"count"`
	Outcomes  map[Outcome]int `json:"outcomes"`
	Statuses  map[int]int     `json:"statuses"`
	Preserved int             `json:"preserved"`
	Responses []Response      `json:"responses"` // in the order in which they were begun
}

// Get requests a URL one or more times. A request that fails is an outcome, as in Connect. Redirects are not followed.
func Get(ctx context.Context, o GetOptions) (*GetReport, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	setLoadDefaults(&o.Count, &o.Concurrency, &o.Timeout)
	transport := o.transport()
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	all := make([]Response, o.Count)
	begun := 0
	var group errgroup.Group
	group.SetLimit(o.Concurrency)
	for ; begun < o.Count && ctx.Err() == nil; begun++ {
		one := &all[begun]
		group.Go(func() error {
			err := o.request(ctx, client, one)
			one.Outcome = OutcomeOf(err)
			one.Preserved = err == nil && one.Seen.IsValid() && one.Seen.Addr() == one.Local.Addr()
			if err != nil {
				one.Error = err.Error()
			}
			return nil
		})
	}
	_ = group.Wait() // outcomes hold the errors
	report := o.report(all[:begun])
	if err := ctx.Err(); err != nil {
		return report, fmt.Errorf("get %s: %w after %d of %d", o.URL, err, begun, o.Count)
	}
	return report, nil
}

// Validate returns every error in the options, joined. Get calls it.
func (o *GetOptions) Validate() error {
	errs := []error{validateLoad(o.Count, o.Concurrency, o.Timeout)}
	target, err := url.Parse(o.URL)
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("parse URL: %w", err))...)
	}
	addr, err := netip.ParseAddr(target.Hostname())
	switch {
	case target.Scheme != "http":
		errs = append(errs, fmt.Errorf("URL: found %q (want http://ADDR[:PORT]/…)", o.URL))
	case err != nil:
		errs = append(errs, fmt.Errorf("URL %q: found host %q (want a numeric address)", o.URL, target.Hostname()))
	default:
		errs = append(errs, o.ValidateSource(netip.AddrPortFrom(addr.Unmap(), 80)))
	}
	return errors.Join(errs...)
}

func (o *GetOptions) transport() *http.Transport {
	if o.KeepAlive {
		return o.Transport(o.Concurrency, o.Timeout)
	}
	return o.Transport(0, o.Timeout)
}

// request performs one request and fills in its result.
func (o *GetOptions) request(ctx context.Context, client *http.Client, response *Response) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { response.Local = AddrPortOf(info.Conn.LocalAddr()) },
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.URL, nil)
	if err != nil {
		return err
	}
	for name, values := range o.Header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	request.Host = request.Header.Get("Host")
	began := time.Now()
	answer, err := client.Do(request)
	if errors.Is(err, io.EOF) {
		err = ErrEnded
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	response.FirstByte = time.Since(began)
	response.Status = answer.StatusCode
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	rest, err := io.Copy(io.Discard, answer.Body)
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	response.Total = time.Since(began)
	response.Bytes = int64(len(body)) + rest
	response.Body = string(body)
	line, _, _ := bytes.Cut(body, []byte("\n"))
	if seen, err := netip.ParseAddrPort(string(line)); err == nil {
		response.Seen = seen
	}
	return nil
}

func (o *GetOptions) report(all []Response) *GetReport {
	report := &GetReport{URL: o.URL, Count: o.Count, Outcomes: map[Outcome]int{}, Statuses: map[int]int{}, Responses: all}
	for _, one := range all {
		report.Outcomes[one.Outcome]++
		if one.Status != 0 {
			report.Statuses[one.Status]++
		}
		if one.Preserved {
			report.Preserved++
		}
	}
	return report
}

package workload

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// Protocol is a transport protocol.
type Protocol string

// The protocols.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Defaults of clients, and the limit of one call: more connections than the ports of one address would not be distinct.
const (
	DefaultTimeout     = 5 * time.Second
	DefaultConcurrency = 128
	maxCount           = 1 << 16
)

// MaxData is the most data of one connection: what the sockets' buffers hold while nobody reads.
const MaxData = 64 << 10

// ConnectOptions configure Connect.
type ConnectOptions struct {
	Dialer
	Protocol Protocol
	Target   netip.AddrPort // an echo server, or a frontend of echo servers
	// Count is how many connections are opened, or datagrams sent, each from its own socket (default 1).
	Count int
	// Concurrency is how many of them are in progress at the same time (default 128).
	Concurrency int
	// Timeout is for one connection from SYN to answer, and for each datagram's answer (default 5 s).
	Timeout time.Duration
	// Retries is how often a datagram without an answer is sent again. TCP has its own retransmission.
	Retries int
	// Detail asks for all that the server knows about its peer, and detects whether the server read something else before
	// the client's line; TCP only.
	Detail bool
	// Data is how many bytes are sent when the question is answered, and must come back unchanged: at most MaxData; TCP only.
	Data int
	// ProxyHeader is sent ahead of the client's line, as by a proxy or by a client that forges its
	// address; TCP only. Addresses that are left out are those of the connection.
	ProxyHeader *proxyproto.Header
}

// Seen is one connection or datagram, and the address that the server saw.
type Seen struct {
	Protocol Protocol `json:"protocol"`
	// Local is the client's own address and port; Seen is what the server saw in their place.
	Local netip.AddrPort `json:"local,omitzero"`
	Seen  netip.AddrPort `json:"seen,omitzero"`
	// Socket is the server's TCP peer, and ProxyHeader the header that it parsed; with Detail only.
	Socket      netip.AddrPort     `json:"socket,omitzero"`
	ProxyHeader *proxyproto.Header `json:"proxyHeader,omitempty"`
	// Server is the server's own address, which identifies one of several behind a frontend; with Detail only.
	Server netip.AddrPort `json:"server,omitzero"`
	// Preserved reports whether the server saw the client's own address. The port may differ: compare Local and Seen.
	Preserved bool    `json:"preserved"`
	Outcome   Outcome `json:"outcome"`
	Error     string  `json:"error,omitempty"`
	// RTT is from sending the request line or datagram to the answer, in nanoseconds. For a datagram that was sent
	// several times it is measured from the transmission that was answered.
	RTT time.Duration `json:"rttNs,omitzero"`
	// Handshake is from SYN to SYN-ACK, as seen by the application, in nanoseconds; TCP only.
	Handshake time.Duration `json:"handshakeNs,omitzero"`
	// Retries counts retransmissions; UDP only.
	Retries int `json:"retries,omitzero"`
}

// ConnectReport is the result of all connections or datagrams.
type ConnectReport struct {
	Protocol Protocol       `json:"protocol"`
	Target   netip.AddrPort `json:"target"`
	Count    int            `json:"count"`
	// Outcomes counts connections by outcome.
	Outcomes map[Outcome]int `json:"outcomes"`
	// Preserved counts connections where the server saw the client's own address.
	Preserved int `json:"preserved"`
	Retries   int `json:"retries"`
	// Connections are in the order in which they were begun.
	Connections []Seen `json:"connections"`
}

// Connect opens connections or sends datagrams and reports which addresses the server saw. A connection that fails is an outcome,
// not an error; an error means invalid options, or that ctx ended before all were done, and then the report covers those
// that were.
func Connect(ctx context.Context, o ConnectOptions) (*ConnectReport, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.setDefaults()
	all := make([]Seen, o.Count)
	begun := 0
	var group errgroup.Group
	group.SetLimit(o.Concurrency)
	for ; begun < o.Count && ctx.Err() == nil; begun++ {
		one := &all[begun]
		group.Go(func() error {
			*one = o.call(ctx)
			return nil
		})
	}
	_ = group.Wait() // outcomes hold the errors
	report := o.report(all[:begun])
	if err := ctx.Err(); err != nil {
		return report, fmt.Errorf("call %s: %w after %d of %d", o.Target, err, begun, o.Count)
	}
	return report, nil
}

// Validate returns every error in the options, joined. Connect calls it.
func (o *ConnectOptions) Validate() error {
	errs := []error{ValidateTarget(o.Target), o.ValidateSource(o.Target)}
	if o.Protocol != TCP && o.Protocol != UDP {
		errs = append(errs, fmt.Errorf("protocol: found %q (want %s or %s)", o.Protocol, TCP, UDP))
	}
	errs = append(errs, validateLoad(o.Count, o.Concurrency, o.Timeout))
	if o.Retries < 0 {
		errs = append(errs, fmt.Errorf("retries: found %d (want 0 or more)", o.Retries))
	}
	if o.Data < 0 || o.Data > MaxData || o.Protocol == UDP && o.Data > 0 {
		errs = append(errs, fmt.Errorf("data: found %d with %s (want 0 to %d, with %s)", o.Data, o.Protocol, MaxData, TCP))
	}
	if o.Protocol == UDP && (o.Detail || o.ProxyHeader != nil) {
		errs = append(errs, errors.New("detail, PROXY header: found them with udp (want tcp)"))
	}
	return errors.Join(errs...)
}

func validateLoad(count, concurrency int, timeout time.Duration) error {
	var errs []error
	if count < 0 || count > maxCount {
		errs = append(errs, fmt.Errorf("count: found %d (want 1 to %d)", count, maxCount))
	}
	if concurrency < 0 {
		errs = append(errs, fmt.Errorf("concurrency: found %d (want 0 or more)", concurrency))
	}
	if timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: found %s (want 0 or more)", timeout))
	}
	return errors.Join(errs...)
}

func (o *ConnectOptions) setDefaults() {
	setLoadDefaults(&o.Count, &o.Concurrency, &o.Timeout)
}

func setLoadDefaults(count, concurrency *int, timeout *time.Duration) {
	if *count == 0 {
		*count = 1
	}
	if *concurrency == 0 {
		*concurrency = DefaultConcurrency
	}
	if *timeout == 0 {
		*timeout = DefaultTimeout
	}
}

// call opens one connection or sends one datagram.
func (o *ConnectOptions) call(ctx context.Context) Seen {
	seen := Seen{Protocol: o.Protocol}
	var err error
	if o.Protocol == UDP {
		err = o.callUDP(ctx, &seen)
	} else {
		err = o.callTCP(ctx, &seen)
	}
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		err = ctx.Err() // not caused by the target
	}
	seen.Outcome = OutcomeOf(err)
	seen.Preserved = err == nil && seen.Seen.Addr() == seen.Local.Addr()
	if err != nil {
		seen.Error = err.Error()
	}
	return seen
}

func (o *ConnectOptions) report(all []Seen) *ConnectReport {
	report := &ConnectReport{Protocol: o.Protocol, Target: o.Target, Count: o.Count, Outcomes: map[Outcome]int{}, Connections: all}
	for _, one := range all {
		report.Outcomes[one.Outcome]++
		report.Retries += one.Retries
		if one.Preserved {
			report.Preserved++
		}
	}
	return report
}

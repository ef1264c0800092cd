package workload

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Dialer opens a client's sockets.
type Dialer struct {
	// Enter is where the sockets are opened; nil means here. A connection is set up inside it, so it may take as long as
	// the client's timeout.
	Enter Enter
	// Source is the client's own address and port; either may be left to the kernel.
	Source netip.AddrPort
	// Ports, if not nil, gives source ports where Source has none.
	Ports *Ports
}

// Dial opens a TCP connection or a UDP socket to a target. control, if not nil, is called with the socket first.
func (d Dialer) Dial(ctx context.Context, network string, to netip.AddrPort, control func(fd int) error) (net.Conn, error) {
	if d.Ports == nil || d.Source.Port() != 0 {
		return d.dialFrom(ctx, network, d.Source, to, control)
	}
	return d.Ports.each(d.Source.Addr(), to.Addr(), func(from netip.AddrPort) (net.Conn, error) {
		return d.dialFrom(ctx, network, from, to, control)
	})
}

func (d Dialer) dialFrom(ctx context.Context, network string, from, to netip.AddrPort, control func(fd int) error) (net.Conn, error) {
	var dialer net.Dialer
	if from.IsValid() {
		if network == "udp" {
			dialer.LocalAddr = net.UDPAddrFromAddrPort(from)
		} else {
			dialer.LocalAddr = net.TCPAddrFromAddrPort(from)
		}
	}
	if control != nil {
		dialer.Control = func(_, _ string, raw syscall.RawConn) error {
			var err error
			return errors.Join(raw.Control(func(fd uintptr) { err = control(int(fd)) }), err)
		}
	}
	var conn net.Conn
	err := d.Enter.Do(func() (err error) {
		conn, err = dialer.DialContext(ctx, network, to.String())
		return err
	})
	return conn, err
}

// Transport returns an HTTP transport that uses the dialer, for numeric addresses. Connections are kept for other requests only
// if keep is not 0: up to that many. No connection's set-up outlives timeout, even if its request is gone.
func (d Dialer) Transport(keep int, timeout time.Duration) *http.Transport {
	return &http.Transport{
		DisableKeepAlives:   keep == 0,
		DisableCompression:  true,
		MaxIdleConns:        keep,
		MaxIdleConnsPerHost: keep,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to, err := netip.ParseAddrPort(addr)
			if err != nil {
				return nil, fmt.Errorf("parse address %q: %w", addr, err)
			}
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return d.Dial(ctx, "tcp", to, nil)
		},
	}
}

// ValidateSource returns an error if the target can't be called from the source.
func (d Dialer) ValidateSource(target netip.AddrPort) error {
	if d.Source.Addr().IsValid() && target.IsValid() && d.Source.Addr().Is4() != target.Addr().Is4() {
		return fmt.Errorf("source, target: found %s, %s (want the same IP version)", d.Source.Addr(), target)
	}
	return nil
}

// Outcome is how a connection, a datagram or a request ended.
type Outcome string

// The outcomes are what a client program sees, not the cause: a SYN that is dropped and a SYN-ACK that the
// client's kernel rejects are both a timeout.
const (
	OutcomeOK      Outcome = "ok"      // answered, as an echo server answers
	OutcomeRefused Outcome = "refused" // no listener: RST to the SYN, ICMP port unreachable to the datagram
	OutcomeReset   Outcome = "reset"   // RST or end of the connection instead of an answer
	OutcomeTimeout Outcome = "timeout" // no answer in time
	OutcomeGarbled Outcome = "garbled" // answered, but the server had read something else before the client's line
	OutcomeError   Outcome = "error"   // anything else: no route, an ICMP error, an invalid answer
)

// OutcomeOf classifies a socket error.
func OutcomeOf(err error) Outcome {
	var network net.Error
	switch {
	case err == nil:
		return OutcomeOK
	case errors.Is(err, unix.ECONNREFUSED):
		return OutcomeRefused
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), errors.Is(err, ErrEnded):
		return OutcomeReset
	case errors.Is(err, ErrGarbled):
		return OutcomeGarbled
	case errors.Is(err, context.Canceled):
		return OutcomeError
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return OutcomeTimeout
	}
	return OutcomeError
}

// ErrGarbled reports that the server answered something else than the client's line.
var ErrGarbled = errors.New("server had read something else before the client's line")

// ErrEnded reports that the server closed the connection instead of answering.
var ErrEnded = errors.New("connection ended before the answer")

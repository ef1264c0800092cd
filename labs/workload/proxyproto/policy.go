package proxyproto

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/pires/go-proxyproto"
)

// DefaultTimeout is how long a receiver waits for a header. The specification asks for at least 3 s, so that one
// retransmission fits.
const DefaultTimeout = 5 * time.Second

// Policy says what a server does about headers. The zero value is a server that knows nothing of the protocol: a header
// is input like any other to it.
type Policy struct {
	// Require makes each connection begin with a header; one that doesn't is refused. There is no third way: the
	// specification forbids to guess (section 2).
	Require bool
	// From are the proxies that are believed; a connection from elsewhere is refused. Without any, all are believed, and
	// whoever reaches the server can say that he is somebody else.
	From []netip.Prefix
	// Timeout is for the whole header to come (default 5 s).
	Timeout time.Duration
}

// Validate says all that is wrong with the policy.
func (p Policy) Validate() error {
	var errs []error
	if !p.Require && (len(p.From) > 0 || p.Timeout != 0) {
		errs = append(errs, errors.New("PROXY protocol: trusted proxies and timeout mean nothing where no header is required"))
	}
	if p.Timeout < 0 {
		errs = append(errs, fmt.Errorf("PROXY protocol: timeout %s: must not be negative", p.Timeout))
	}
	for _, from := range p.From {
		if !from.IsValid() {
			errs = append(errs, errors.New("PROXY protocol: prefix of trusted proxies is not valid"))
		}
	}
	return errors.Join(errs...)
}

// Reason says why a connection was refused.
type Reason string

// The reasons.
const (
	Untrusted Reason = "untrusted" // it came from none of the proxies that are believed
	Missing   Reason = "missing"   // it began with something else
	Malformed Reason = "malformed" // it began like a header, and broke the specification
	Late      Reason = "late"      // the header, or its end, did not come in time
	Broken    Reason = "broken"    // the connection was reset before the header's end
)

// Refusal is why a connection was refused.
type Refusal struct {
	Reason Reason
	Err    error // what exactly was wrong
}

// Error names the reason and the details.
func (r *Refusal) Error() string { return fmt.Sprintf("PROXY header %s: %v", r.Reason, r.Err) }

// Unwrap returns the details.
func (r *Refusal) Unwrap() error { return r.Err }

// Receive reads the header of a connection from peer, the socket's other end, through reader, which holds what follows.
// It returns a *Refusal when the connection must not be served. It sets conn's read deadline, and clears it again.
func (p Policy) Receive(conn net.Conn, reader *bufio.Reader, peer netip.Addr) (Header, error) {
	if !p.trusts(peer) {
		return Header{}, &Refusal{Untrusted, fmt.Errorf("%s is not among the trusted proxies %v", peer, p.From)}
	}
	timeout := p.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	// A deadline can't be refused by an open socket; on a closed one the read says so.
	_ = conn.SetReadDeadline(time.Now().Add(timeout))
	header, err := Read(reader)
	_ = conn.SetReadDeadline(time.Time{})
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) && refusal.Reason == Late {
		refusal.Err = fmt.Errorf("not here after %s", timeout)
	}
	return header, err
}

func (p Policy) trusts(peer netip.Addr) bool {
	for _, from := range p.From {
		if from.Contains(peer) {
			return true
		}
	}
	return len(p.From) == 0
}

// refusalOf sorts what the parser says.
func refusalOf(err error) error {
	var network net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return &Refusal{Late, err}
	case errors.As(err, &network):
		return &Refusal{Broken, err}
	case errors.Is(err, proxyproto.ErrNoProxyProtocol):
		return &Refusal{Missing, errors.New("the connection begins with something else")}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Refusal{Malformed, fmt.Errorf("ends early: %w", err)}
	}
	return &Refusal{Malformed, err}
}

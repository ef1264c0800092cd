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

	"github.com/dsrlab/dsrlab/internal/words"
)

// DefaultTimeout is how long a receiver waits for a header. The specification asks for at least 3 s, so that one
// retransmission fits.
const DefaultTimeout = 5 * time.Second

// Policy decides how a server treats headers. The zero value is a server that does not know the protocol: a header
// is ordinary input to it.
type Policy struct {
	// Require makes each connection begin with a header; one that does not is refused. There is no third option: the
	// specification forbids guessing (section 2).
	Require bool
	// From lists the trusted proxies; a connection from elsewhere is refused. Without any, all are trusted, and
	// any client that reaches the server can forge its address.
	From []netip.Prefix
	// Timeout is for the whole header to arrive (default 5 s).
	Timeout time.Duration
}

// Validate returns every error in the policy, joined.
func (p Policy) Validate() error {
	var errs []error
	if !p.Require && (len(p.From) > 0 || p.Timeout != 0) {
		errs = append(errs, errors.New("PROXY protocol: found trusted proxies or a timeout (want them only where a header is required)"))
	}
	if p.Timeout < 0 {
		errs = append(errs, fmt.Errorf("PROXY protocol: timeout: found %s (want 0 or more)", p.Timeout))
	}
	for _, from := range p.From {
		if !from.IsValid() {
			errs = append(errs, errors.New("PROXY protocol: found an invalid prefix of trusted proxies"))
		}
	}
	return errors.Join(errs...)
}

// Reason is why a connection was refused.
type Reason string

// The reasons.
const (
	Untrusted Reason = "untrusted" // it came from an untrusted address
	Missing   Reason = "missing"   // it began with something else
	Malformed Reason = "malformed" // it began like a header, but violated the specification
	Late      Reason = "late"      // the header did not arrive completely in time
	Broken    Reason = "broken"    // the connection was reset before the header's end
)

// Refusal is the error of a refused connection.
type Refusal struct {
	Reason Reason
	Err    error // the details
}

// Error names the reason and the details.
func (r *Refusal) Error() string { return fmt.Sprintf("PROXY header %s: %v", r.Reason, r.Err) }

// Unwrap returns the details.
func (r *Refusal) Unwrap() error { return r.Err }

// Receive reads the header of a connection from peer, the socket's other end, through reader, which holds what follows.
// It returns a *Refusal if the connection must not be served. It sets conn's read deadline, and clears it again.
func (p Policy) Receive(conn net.Conn, reader *bufio.Reader, peer netip.Addr) (Header, error) {
	if !p.trusts(peer) {
		return Header{}, &Refusal{Untrusted, fmt.Errorf("found %s (want one of the trusted proxies %s)", peer, words.List(p.From))}
	}
	timeout := p.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	// Setting a deadline fails on a closed socket only, and then the read fails too.
	_ = conn.SetReadDeadline(time.Now().Add(timeout))
	header, err := Read(reader)
	_ = conn.SetReadDeadline(time.Time{})
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) && refusal.Reason == Late {
		refusal.Err = fmt.Errorf("not complete after %s", timeout)
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

// refusalOf classifies a parser's error.
func refusalOf(err error) error {
	var network net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return &Refusal{Late, err}
	case errors.As(err, &network):
		return &Refusal{Broken, err}
	case errors.Is(err, proxyproto.ErrNoProxyProtocol):
		return &Refusal{Missing, errors.New("found something else at the start of the connection")}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Refusal{Malformed, fmt.Errorf("ends early: %w", err)}
	}
	return &Refusal{Malformed, err}
}

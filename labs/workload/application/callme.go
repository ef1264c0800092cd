package application

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// CallMeOptions configure CallMe.
type CallMeOptions struct {
	// Dialer opens the client's sockets, including the one that waits for the call.
	workload.Dialer
	// Target is a CallBack application, or a frontend of such applications.
	Target netip.AddrPort
	// Timeout is for the whole exchange (default 5 s): longer than the server's, so that the server's answer arrives.
	Timeout time.Duration
}

// CallMeReport reports whether the call arrived.
type CallMeReport struct {
	// Waited is the address at which the client waited for it.
	Waited netip.AddrPort `json:"waited"`
	// Reached reports whether the call arrived with this client's ticket.
	Reached bool `json:"reached"`
	// From is the caller: it should be the server or the frontend.
	From netip.AddrPort `json:"from,omitzero"`
	// Server is the server's view of the call; zero if it did not answer.
	Server Call `json:"server"`
	// Error is why the request failed, or why what arrived was not the call.
	Error string `json:"error,omitempty"`
}

// CallMe asks a CallBack application for a call and waits for it. A call that does not arrive is a result, not an error; an
// error means invalid options or that no socket could be opened to wait on.
func CallMe(ctx context.Context, o CallMeOptions) (*CallMeReport, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	listener, err := workload.ListenTCP(ctx, o.Enter, netip.AddrPortFrom(o.Source.Addr(), 0))
	if err != nil {
		return nil, fmt.Errorf("wait for a call: %w", err)
	}
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	report := &CallMeReport{Waited: workload.AddrPortOf(listener.Addr())}
	ticket := rand.Text()
	type heard struct {
		from netip.AddrPort
		err  error
	}
	calls := make(chan heard, 1)
	go func() {
		from, err := acceptCallback(ctx, listener, ticket)
		calls <- heard{from, err}
	}()
	body, err := request(ctx, o.Dialer, fmt.Sprintf("http://%s/?port=%d&ticket=%s", o.Target, report.Waited.Port(), ticket))
	if err == nil {
		report.Server, err = parseCall(body)
	}
	if err != nil || report.Server.Outcome != workload.OutcomeOK {
		listener.Close() // no call will arrive
	}
	call := <-calls
	report.From, report.Reached = call.from, call.err == nil
	if errors.Is(call.err, net.ErrClosed) {
		call.err = nil
	}
	if err := errors.Join(err, call.err); err != nil {
		report.Error = err.Error()
	}
	return report, nil
}

// Validate returns every error in the options, joined. CallMe calls it.
func (o *CallMeOptions) Validate() error {
	errs := []error{workload.ValidateTarget(o.Target), o.ValidateSource(o.Target)}
	if o.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: found %s (want 0 or more)", o.Timeout))
	}
	return errors.Join(errs...)
}

// acceptCallback accepts one call and reads its ticket.
func acceptCallback(ctx context.Context, listener *net.TCPListener, ticket string) (netip.AddrPort, error) {
	deadline, _ := ctx.Deadline()
	if err := listener.SetDeadline(deadline); err != nil {
		return netip.AddrPort{}, err
	}
	conn, err := listener.AcceptTCP()
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("wait for a call: %w", err)
	}
	defer conn.Close()
	from := workload.AddrPortOf(conn.RemoteAddr())
	if err := conn.SetDeadline(deadline); err != nil {
		return from, err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxTicket+1)).ReadString('\n')
	if err != nil {
		return from, fmt.Errorf("read ticket: %w", err)
	}
	if got := strings.TrimSuffix(line, "\n"); got != ticket {
		return from, fmt.Errorf("read ticket: found %q (want %q)", got, ticket)
	}
	return from, nil
}

package application

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
)

const (
	// DefaultCallTimeout limits one call back.
	DefaultCallTimeout = 2 * time.Second
	// maxCalls bounds the calls that a record keeps; the rest are only counted.
	maxCalls = 10_000
	// maxTicket bounds the ticket that a client asks for.
	maxTicket = 200
)

// CallBack opens connections to its clients, as an application does that identifies them by address. On
// GET /?port=PORT&ticket=TEXT it connects to the client's address at that port, sends TEXT, and answers with a Call.
type CallBack struct {
	dialer  workload.Dialer
	timeout time.Duration

	mu     sync.Mutex
	record CallBackRecord
}

// CallBackRecord holds the calls of the server.
type CallBackRecord struct {
	Outcomes map[workload.Outcome]int `json:"outcomes"`
	// Calls are the first 10,000.
	Calls []Call `json:"calls"`
}

// Call is one connection that the server opened to a client.
type Call struct {
	// Client is the address that asked for it, as the server saw it; Called is the address that the server connected to, and
	// Ticket what it had to send.
	Client netip.AddrPort `json:"client"`
	Called netip.AddrPort `json:"called"`
	Ticket string         `json:"ticket"`
	// Outcome is ok if the connection was accepted and the ticket read. Only the client knows whether it was the right one.
	Outcome workload.Outcome `json:"outcome"`
	Error   string           `json:"error,omitempty"`
}

// NewCallBack returns a CallBack whose calls use the dialer and time out after timeout (0: 2 s).
func NewCallBack(from workload.Dialer, timeout time.Duration) (*CallBack, error) {
	if timeout < 0 {
		return nil, fmt.Errorf("timeout: found %s (want 0 or more)", timeout)
	}
	if timeout == 0 {
		timeout = DefaultCallTimeout
	}
	return &CallBack{dialer: from, timeout: timeout}, nil
}

// Kind implements App.
func (c *CallBack) Kind() workload.Kind { return "callback" }

// Record implements App; it is a CallBackRecord.
func (c *CallBack) Record() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	record := CallBackRecord{Outcomes: map[workload.Outcome]int{}, Calls: slices.Clone(c.record.Calls)}
	for outcome, n := range c.record.Outcomes {
		record.Outcomes[outcome] = n
	}
	return record
}

// Serve implements App.
func (c *CallBack) Serve(w http.ResponseWriter, r *http.Request, client netip.AddrPort) {
	q := r.URL.Query()
	port, err := strconv.ParseUint(q.Get("port"), 10, 16)
	if err != nil || port == 0 || len(q.Get("ticket")) > maxTicket {
		http.Error(w, fmt.Sprintf("port %q, ticket of %d bytes: want 1 to 65535, and at most %d bytes", q.Get("port"), len(q.Get("ticket")), maxTicket),
			http.StatusBadRequest)
		return
	}
	call := Call{Client: client, Called: netip.AddrPortFrom(client.Addr(), uint16(port)), Ticket: q.Get("ticket")}
	err = c.call(r.Context(), call.Called, call.Ticket)
	call.Outcome = workload.OutcomeOf(err)
	if err != nil {
		call.Error = err.Error()
	}
	c.mu.Lock()
	if c.record.Outcomes == nil {
		c.record.Outcomes = map[workload.Outcome]int{}
	}
	c.record.Outcomes[call.Outcome]++
	if len(c.record.Calls) < maxCalls {
		c.record.Calls = append(c.record.Calls, call)
	}
	c.mu.Unlock()
	writeJSON(w, call)
}

func (c *CallBack) call(ctx context.Context, to netip.AddrPort, ticket string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.dialer.Dial(ctx, "tcp", to, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer workload.Interruptible(ctx, conn)()
	if _, err := io.WriteString(conn, ticket+"\n"); err != nil {
		return fmt.Errorf("send ticket: %w", err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return fmt.Errorf("send ticket: %w", err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil { // the other end closes the connection when it has the ticket
		return fmt.Errorf("wait for the end: %w", err)
	}
	return nil
}

// parseCall parses the server's answer.
func parseCall(body []byte) (Call, error) {
	var call Call
	if err := json.Unmarshal(body, &call); err != nil {
		return call, fmt.Errorf("read answer: %w", err)
	}
	return call, nil
}

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
	// DefaultCallTimeout is how long a call back may take.
	DefaultCallTimeout = 2 * time.Second
	// maxCalls bounds the calls that a record keeps; the rest is counted.
	maxCalls = 10_000
	// maxTicket bounds what a client wants to hear.
	maxTicket = 200
)

// CallBack opens connections to its clients, as an application does that knows them by their address: on
// GET /?port=PORT&ticket=TEXT it connects to the client's address at that port, says TEXT, and answers with a Call.
type CallBack struct {
	dialer  workload.Dialer
	timeout time.Duration

	mu     sync.Mutex
	record CallBackRecord
}

// CallBackRecord is whom the server called.
type CallBackRecord struct {
	Outcomes map[workload.Outcome]int `json:"outcomes"`
	// Calls are the first 10,000.
	Calls []Call `json:"calls"`
}

// Call is one connection that the server opened to a client.
type Call struct {
	// Client is who asked for it, as the server saw it; Called is where the server connected to, and Ticket what it was to
	// say.
	Client netip.AddrPort `json:"client"`
	Called netip.AddrPort `json:"called"`
	Ticket string         `json:"ticket"`
	// Outcome is ok when somebody took the connection and what was said. Who that was, the client knows.
	Outcome workload.Outcome `json:"outcome"`
	Error   string           `json:"error,omitempty"`
}

// NewCallBack takes where the server's calls come from, and how long one may take (0: 2 s).
func NewCallBack(from workload.Dialer, timeout time.Duration) (*CallBack, error) {
	if timeout < 0 {
		return nil, fmt.Errorf("timeout %s: must not be negative", timeout)
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
		return fmt.Errorf("say ticket: %w", err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return fmt.Errorf("say ticket: %w", err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil { // the other end ends the connection when it has heard
		return fmt.Errorf("wait for the end: %w", err)
	}
	return nil
}

// parseCall reads the server's answer.
func parseCall(body []byte) (Call, error) {
	var call Call
	if err := json.Unmarshal(body, &call); err != nil {
		return call, fmt.Errorf("read answer: %w", err)
	}
	return call, nil
}

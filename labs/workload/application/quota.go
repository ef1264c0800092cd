package application

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/dsrlab/dsrlab/labs/workload"
)

const (
	// maxTokens bounds what one request can ask for.
	maxTokens = 1_000_000
	// token is what a client receives for each billed token.
	token = "token\n"
)

// Quota hands out tokens as an LLM would: GET /?tokens=N costs the client N tokens of its quota, and is answered with N
// lines. A request that asks for more than is left is refused with 429, and costs nothing.
type Quota struct {
	limit   int64
	clients clients[QuotaClient]
}

// QuotaRecord holds what each client was billed for.
type QuotaRecord struct {
	// Limit is the quota of each client.
	Limit   int64                      `json:"limit"`
	Clients map[netip.Addr]QuotaClient `json:"clients"`
}

// QuotaClient is one client's bill.
type QuotaClient struct {
	// Tokens were billed in Requests requests; Refused counts requests beyond the quota.
	Tokens   int64 `json:"tokens"`
	Requests int   `json:"requests"`
	Refused  int   `json:"refused"`
}

// NewQuota returns a Quota with a limit in tokens per client.
func NewQuota(limit int64) (*Quota, error) {
	if limit < 1 {
		return nil, fmt.Errorf("quota: found %d tokens (want 1 or more)", limit)
	}
	return &Quota{limit: limit}, nil
}

// Kind implements App.
func (q *Quota) Kind() workload.Kind { return "quota" }

// Record implements App; it is a QuotaRecord.
func (q *Quota) Record() any { return QuotaRecord{Limit: q.limit, Clients: q.clients.copy()} }

// Serve implements App.
func (q *Quota) Serve(w http.ResponseWriter, r *http.Request, client netip.AddrPort) {
	want, err := strconv.ParseInt(r.URL.Query().Get("tokens"), 10, 64)
	if err != nil || want < 1 || want > maxTokens {
		http.Error(w, fmt.Sprintf("tokens: found %q (want 1 to %d)", r.URL.Query().Get("tokens"), maxTokens), http.StatusBadRequest)
		return
	}
	var billed bool
	var left int64
	known := q.clients.with(w, client.Addr(), func(c *QuotaClient) {
		if left = q.limit - c.Tokens; want > left {
			c.Refused++
			return
		}
		billed = true
		c.Tokens += want
		c.Requests++
	})
	switch {
	case !known:
	case !billed:
		http.Error(w, fmt.Sprintf("%s has %d tokens left of %d", client.Addr(), left, q.limit), http.StatusTooManyRequests)
	default:
		_, _ = io.WriteString(w, strings.Repeat(token, int(want))) // the client may be gone; it is billed all the same
	}
}

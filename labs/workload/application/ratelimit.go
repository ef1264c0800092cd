package application

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// RateLimit says how much each client may ask for.
type RateLimit struct {
	// Rate is requests per second in the long run, and Burst how many may come at once (default 1).
	Rate  float64
	Burst int
	// BlockAfter is after how many rejections a client is shut out for good (default 0: never).
	BlockAfter int
	// Blocked are clients that are shut out from the begin.
	Blocked []netip.Prefix
}

// RateLimiter gives each client a token bucket: 200 while there are tokens, 429 without, 403 for who is shut out.
type RateLimiter struct {
	limit   RateLimit
	now     func() time.Time
	clients clients[bucket]
}

// bucket is one client's.
type bucket struct {
	tokens float64
	filled time.Time // when tokens were counted last; zero before the first request
	record RateRecord
}

// RateLimiterRecord is what a rate limiter did to whom.
type RateLimiterRecord struct {
	Clients map[netip.Addr]RateRecord `json:"clients"`
}

// RateRecord is what a rate limiter did to one client.
type RateRecord struct {
	// Allowed, Rejected and ShutOut count requests: 200, 429 and 403.
	Allowed  int `json:"allowed"`
	Rejected int `json:"rejected"`
	ShutOut  int `json:"shutOut"`
	// Blocked: the client is shut out now.
	Blocked bool `json:"blocked"`
}

// NewRateLimiter checks the limit.
func NewRateLimiter(limit RateLimit) (*RateLimiter, error) {
	var errs []error
	if !(limit.Rate > 0) || math.IsInf(limit.Rate, 0) {
		errs = append(errs, fmt.Errorf("rate %v: want more than 0 requests per second", limit.Rate))
	}
	if limit.Burst < 0 || limit.BlockAfter < 0 {
		errs = append(errs, fmt.Errorf("burst %d, block after %d: must not be negative", limit.Burst, limit.BlockAfter))
	}
	if limit.Burst == 0 {
		limit.Burst = 1
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &RateLimiter{limit: limit, now: time.Now}, nil
}

// Kind implements App.
func (l *RateLimiter) Kind() workload.Kind { return "ratelimit" }

// Record implements App; it is a RateLimiterRecord.
func (l *RateLimiter) Record() any {
	record := RateLimiterRecord{Clients: map[netip.Addr]RateRecord{}}
	for addr, one := range l.clients.copy() {
		record.Clients[addr] = one.record
	}
	return record
}

// Serve implements App.
func (l *RateLimiter) Serve(w http.ResponseWriter, _ *http.Request, client netip.AddrPort) {
	var status int
	var wait time.Duration
	if !l.clients.with(w, client.Addr(), func(b *bucket) { status, wait = l.take(b, client.Addr()) }) {
		return
	}
	switch status {
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		http.Error(w, fmt.Sprintf("%s asks too often: next in %s", client.Addr(), wait.Round(time.Millisecond)), status)
	case http.StatusForbidden:
		http.Error(w, fmt.Sprintf("%s is shut out", client.Addr()), status)
	default:
		fmt.Fprintf(w, "hello %s\n", client.Addr())
	}
}

// take decides about one request, and tells for how long the next will be rejected.
func (l *RateLimiter) take(b *bucket, addr netip.Addr) (status int, wait time.Duration) {
	now := l.now()
	if b.filled.IsZero() {
		b.tokens = float64(l.limit.Burst)
		for _, blocked := range l.limit.Blocked {
			b.record.Blocked = b.record.Blocked || blocked.Contains(addr)
		}
	} else {
		b.tokens = min(float64(l.limit.Burst), b.tokens+now.Sub(b.filled).Seconds()*l.limit.Rate)
	}
	b.filled = now
	switch {
	case b.record.Blocked:
		b.record.ShutOut++
		return http.StatusForbidden, 0
	case b.tokens >= 1:
		b.tokens--
		b.record.Allowed++
		return http.StatusOK, 0
	}
	b.record.Rejected++
	b.record.Blocked = l.limit.BlockAfter > 0 && b.record.Rejected >= l.limit.BlockAfter
	return http.StatusTooManyRequests, time.Duration((1 - b.tokens) / l.limit.Rate * float64(time.Second))
}

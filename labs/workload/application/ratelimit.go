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

// RateLimit configures a RateLimiter. The limits are per client.
type RateLimit struct {
	// Rate is the sustained number of requests per second, and Burst how many are allowed at once (default 1).
	Rate  float64
	Burst int
	// BlockAfter is the number of rejections after which a client is blocked for good (default 0: never).
	BlockAfter int
	// Blocked lists clients that are blocked from the start.
	Blocked []netip.Prefix
}

// RateLimiter gives each client a token bucket: 200 while there are tokens, 429 without, 403 for a blocked client.
type RateLimiter struct {
	limit   RateLimit
	now     func() time.Time
	clients clients[bucket]
}

// bucket is the token bucket of one client.
type bucket struct {
	tokens float64
	filled time.Time // when tokens were counted last; zero before the first request
	record RateRecord
}

// RateLimiterRecord holds the decisions of a rate limiter.
type RateLimiterRecord struct {
	Clients map[netip.Addr]RateRecord `json:"clients"`
}

// RateRecord holds a rate limiter's decisions about one client.
type RateRecord struct {
	// Allowed, Rejected and ShutOut count requests: 200, 429 and 403.
	Allowed  int `json:"allowed"`
	Rejected int `json:"rejected"`
	ShutOut  int `json:"shutOut"`
	// Blocked reports whether the client is blocked now.
	Blocked bool `json:"blocked"`
}

// NewRateLimiter returns a rate limiter, or an error if the limit is invalid.
func NewRateLimiter(limit RateLimit) (*RateLimiter, error) {
	var errs []error
	if !(limit.Rate > 0) || math.IsInf(limit.Rate, 0) {
		errs = append(errs, fmt.Errorf("rate: found %v (want more than 0 requests per second)", limit.Rate))
	}
	if limit.Burst < 0 || limit.BlockAfter < 0 {
		errs = append(errs, fmt.Errorf("burst, block after: found %d, %d (want 0 or more)", limit.Burst, limit.BlockAfter))
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
		http.Error(w, fmt.Sprintf("%s: too many requests: next in %s", client.Addr(), wait.Round(time.Millisecond)), status)
	case http.StatusForbidden:
		http.Error(w, fmt.Sprintf("%s is blocked", client.Addr()), status)
	default:
		fmt.Fprintf(w, "hello %s\n", client.Addr())
	}
}

// take decides about one request, and returns for how long the next will be rejected.
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

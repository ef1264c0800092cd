package inference

import (
	"context"
	"time"
)

// tokenPace is the trailer of a stream with the pace at which its server sent the tokens: seconds from one to the next, see
// pacer.interval. A client compares it with the requested rate before it trusts its own times.
const tokenPace = "X-Token-Pace"

// pacer keeps a stream to absolute times, and records how late the machine let the first and the last token begin.
type pacer struct {
	began time.Time
	rate  float64 // tokens per second
	free  time.Time
	// first and last are how late those tokens began. The time that a token waited for the network to accept an earlier one
	// is not included: free is when that was done.
	first, last time.Duration
}

// offset returns when token i is due, since the start.
func (p *pacer) offset(i int64) time.Duration {
	return time.Duration(float64(i) / p.rate * float64(time.Second))
}

// wait waits until token i is due, or returns an error if ctx is done first.
func (p *pacer) wait(ctx context.Context, i int64) error {
	due := p.began.Add(p.offset(i))
	if err := wait(ctx, due); err != nil {
		return err
	}
	if due.Before(p.free) {
		due = p.free
	}
	p.last = time.Since(due)
	if i == 0 {
		p.first = p.last
	}
	return nil
}

// interval returns the mean time between tokens as the machine kept it: 1/rate, plus each token's share of how much later the last
// one began than the first. It is 0 for fewer than two tokens.
func (p *pacer) interval(tokens int64) time.Duration {
	if tokens < 2 {
		return 0
	}
	return (p.offset(tokens-1) + p.last - p.first) / time.Duration(tokens-1)
}

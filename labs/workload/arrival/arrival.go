// Package arrival decides when a load's calls begin. An open loop calls at times that are independent (a Poisson process: many
// clients that know nothing of each other) of the fate of earlier calls; a closed loop has workers, each of which
// calls again when its last call has ended.
//
// A slow server slows a closed loop down, which hides its slowness; an open loop goes on calling. Latency is therefore
// measured from Call.Due: in an open loop the time that a call had to wait before it could begin belongs to it
// (coordinated omission: Gil Tene, "How NOT to Measure Latency").
package arrival

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Loop is a kind of process.
type Loop string

// The loops.
const (
	Open   Loop = "open"   // Poisson: exponentially distributed times between calls
	Closed Loop = "closed" // workers
)

const (
	// DefaultInFlight bounds the calls of an open loop in progress at the same time.
	DefaultInFlight = 4096
	// maxCalls bounds a process.
	maxCalls = 1 << 20
	// maxRate bounds an open loop, in calls per second: the clock's and the scheduler's steps are far below 10 µs.
	maxRate = 1e5
)

// Process describes when calls begin, and when the load ends.
type Process struct {
	Loop Loop `json:"loop"`
	// Rate is the open loop's mean, in calls per second.
	Rate float64 `json:"rate,omitempty"`
	// Workers is the closed loop's number of calls in progress.
	Workers int `json:"workers,omitempty"`
	// Count and Duration end the process: no more calls begin than Count, and none after Duration. At least one must be
	// given. Calls in progress are waited for.
	Count    int           `json:"count,omitempty"`
	Duration time.Duration `json:"durationNs,omitempty"`
	// Seed determines an open loop's times. The same seed and rate give the same times.
	Seed uint64 `json:"seed"`
	// InFlight bounds the open loop's calls in progress (default 4096). A call that is due beyond that is shed: it is not
	// made, and counted.
	InFlight int `json:"inFlight,omitempty"`
}

// Validate returns every error in the process, joined. Run calls it.
func (p Process) Validate() error {
	var errs []error
	switch p.Loop {
	case Open:
		if !(p.Rate > 0 && p.Rate <= maxRate) { // so that NaN fails too
			errs = append(errs, fmt.Errorf("rate: found %v (want more than 0 and at most %v calls per second)", p.Rate, maxRate))
		}
		if p.Workers != 0 {
			errs = append(errs, fmt.Errorf("workers: found %d (want none in an open loop)", p.Workers))
		}
	case Closed:
		if p.Workers < 1 || p.Workers > maxCalls {
			errs = append(errs, fmt.Errorf("workers: found %d (want 1 to %d)", p.Workers, maxCalls))
		}
		if p.Rate != 0 {
			errs = append(errs, fmt.Errorf("rate: found %v (want none in a closed loop)", p.Rate))
		}
	default:
		errs = append(errs, fmt.Errorf("loop: found %q (want %s or %s)", p.Loop, Open, Closed))
	}
	if p.Count < 0 || p.Count > maxCalls {
		errs = append(errs, fmt.Errorf("count: found %d (want 0 to %d)", p.Count, maxCalls))
	}
	if p.Duration < 0 {
		errs = append(errs, fmt.Errorf("duration: found %s (want 0 or more)", p.Duration))
	}
	if p.Count == 0 && p.Duration == 0 {
		errs = append(errs, errors.New("missing count or duration"))
	}
	if p.InFlight < 0 {
		errs = append(errs, fmt.Errorf("in flight: found %d (want 0 or more)", p.InFlight))
	}
	return errors.Join(errs...)
}

// Call is one call.
type Call struct {
	// Index counts from 0, in the order in which calls are due.
	Index int
	// Due is when the call was to begin: by the schedule of an open loop, and at once in a closed one. Latency is
	// measured from here.
	Due time.Time
	// Offset is Due since the process began.
	Offset time.Duration
}

// Report is the result of a process.
type Report struct {
	// Calls were made; Shed were due while too many were in progress.
	Calls int `json:"calls"`
	Shed  int `json:"shed"`
	// MaxInFlight is the largest number of calls in progress at the same time.
	MaxInFlight int `json:"maxInFlight"`
	// MaxLag is the longest time that a call began after it was due because the caller's machine was late, in
	// nanoseconds. It is part of the latency: where it is not small in comparison, the machine was measured.
	MaxLag time.Duration `json:"maxLagNs"`
	// Elapsed is from the start to the end of the last call, in nanoseconds.
	Elapsed time.Duration `json:"elapsedNs"`
}

// Run makes the calls, each in its own goroutine, and returns when all have ended. An error means an invalid process, or
// that ctx ended first; the report then covers the calls that began.
func (p Process) Run(ctx context.Context, do func(context.Context, Call)) (Report, error) {
	if err := p.Validate(); err != nil {
		return Report{}, err
	}
	r := run{process: p, do: do, began: time.Now()}
	if p.Loop == Open {
		r.open(ctx)
	} else {
		r.closed(ctx)
	}
	r.calls.Wait()
	report := Report{Calls: int(r.made.Load()), Shed: r.shed, MaxInFlight: int(r.most.Load()), MaxLag: time.Duration(r.lag.Load()), Elapsed: time.Since(r.began)}
	if err := ctx.Err(); err != nil {
		return report, fmt.Errorf("make calls: %w after %d", err, report.Calls)
	}
	return report, nil
}

// Times yields when an open loop's calls are due, since the start; it ends with the process.
func (p Process) Times() iter.Seq2[int, time.Duration] {
	return func(yield func(int, time.Duration) bool) {
		random := rand.New(rand.NewPCG(p.Seed, 0x6172726976616c)) // the second half keeps it apart from other uses of the seed
		at := 0.0
		for i := 0; (p.Count == 0 || i < p.Count) && i < maxCalls; i++ {
			at += random.ExpFloat64() / p.Rate
			due := time.Duration(math.Round(at * float64(time.Second)))
			if p.Duration > 0 && due >= p.Duration || !yield(i, due) {
				return
			}
		}
	}
}

// run is a process in progress.
type run struct {
	process Process
	do      func(context.Context, Call)
	began   time.Time
	calls   sync.WaitGroup
	shed    int

	made, inFlight, most, lag atomic.Int64
}

func (r *run) open(ctx context.Context) {
	limit := int64(r.process.InFlight)
	if limit == 0 {
		limit = DefaultInFlight
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, offset := range r.process.Times() {
		due := r.began.Add(offset)
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if r.inFlight.Load() >= limit {
			r.shed++
			continue
		}
		r.begin(due)
		r.calls.Go(func() { r.call(ctx, Call{Index: i, Due: due, Offset: offset}) })
	}
}

func (r *run) closed(ctx context.Context) {
	var next atomic.Int64
	for range r.process.Workers {
		r.calls.Go(func() {
			for ctx.Err() == nil {
				now := time.Now()
				offset := now.Sub(r.began)
				i := next.Add(1) - 1
				enough := r.process.Count > 0 && i >= int64(r.process.Count) || r.process.Duration > 0 && offset >= r.process.Duration
				if enough || i >= maxCalls {
					return
				}
				r.begin(now)
				r.call(ctx, Call{Index: int(i), Due: now, Offset: offset})
			}
		})
	}
}

// begin counts a call that is about to begin.
func (r *run) begin(due time.Time) {
	r.made.Add(1)
	storeMax(&r.most, r.inFlight.Add(1))
	storeMax(&r.lag, int64(time.Since(due)))
}

func (r *run) call(ctx context.Context, c Call) {
	defer r.inFlight.Add(-1)
	r.do(ctx, c)
}

func storeMax(most *atomic.Int64, value int64) {
	for {
		old := most.Load()
		if value <= old || most.CompareAndSwap(old, value) {
			return
		}
	}
}

package arrival

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func times(p Process) []time.Duration {
	var all []time.Duration
	for i, at := range p.Times() {
		if i != len(all) {
			return nil
		}
		all = append(all, at)
	}
	return all
}

// The times between calls are exponentially distributed with mean 1/rate: mean, standard deviation and median tell it
// from even spacing and from a uniform distribution. The seed is fixed, so the test can't fail by chance.
func TestPoisson(t *testing.T) {
	all := times(Process{Loop: Open, Rate: 200, Count: 20000, Seed: 7})
	require.Len(t, all, 20000)
	assert.True(t, slices.IsSorted(all))
	gaps := make([]float64, len(all))
	before := time.Duration(0)
	for i, at := range all {
		gaps[i] = (at - before).Seconds()
		before = at
	}
	latency := LatencyOf(gaps)
	assert.InDelta(t, 1.0/200, latency.Mean, 0.0002)
	assert.InDelta(t, math.Ln2/200, latency.P50, 0.0002)
	assert.InDelta(t, math.Log(100)/200, latency.P99, 0.002)

	assert.Equal(t, all, times(Process{Loop: Open, Rate: 200, Count: 20000, Seed: 7}), "the seed decides")
	assert.NotEqual(t, all[0], times(Process{Loop: Open, Rate: 200, Count: 1, Seed: 8})[0])
	byTime := times(Process{Loop: Open, Rate: 200, Duration: 10 * time.Second, Seed: 7})
	assert.Equal(t, all[:len(byTime)], byTime)
	assert.Less(t, byTime[len(byTime)-1], 10*time.Second)
	assert.GreaterOrEqual(t, all[len(byTime)], 10*time.Second)
}

// An open loop's calls don't wait for each other: all of them are under way before the first has ended.
func TestOpenLoopDoesNotWait(t *testing.T) {
	const count = 50
	var under atomic.Int64
	all := make(chan struct{})
	var mu sync.Mutex
	var calls []Call
	p := Process{Loop: Open, Rate: 5000, Count: count, Seed: 1}
	began := time.Now()
	report, err := p.Run(t.Context(), func(_ context.Context, c Call) {
		mu.Lock()
		calls = append(calls, c)
		mu.Unlock()
		if under.Add(1) == count {
			close(all)
		}
		<-all
	})
	require.NoError(t, err)
	ended := time.Now()
	assert.Equal(t, count, report.Calls)
	assert.Equal(t, count, report.MaxInFlight)
	assert.Zero(t, report.Shed)
	assert.Greater(t, report.Elapsed, times(p)[count-1])
	slices.SortFunc(calls, func(a, b Call) int { return a.Index - b.Index })
	for i, at := range times(p) {
		assert.Equal(t, i, calls[i].Index)
		assert.Equal(t, at, calls[i].Offset)
		assert.WithinRange(t, calls[i].Due, began.Add(at), ended.Add(at))
	}
}

func TestOpenLoopSheds(t *testing.T) {
	release := make(chan struct{})
	r := run{
		process: Process{Loop: Open, Rate: 10000, Count: 20, Seed: 1, InFlight: 3},
		do:      func(context.Context, Call) { <-release },
		began:   time.Now(),
	}
	r.open(t.Context())
	assert.Equal(t, 17, r.shed)
	assert.EqualValues(t, 3, r.made.Load())
	assert.EqualValues(t, 3, r.most.Load())
	close(release)
	r.calls.Wait()
	assert.Zero(t, r.inFlight.Load())
}

func TestClosedLoop(t *testing.T) {
	var under, most atomic.Int64
	var mu sync.Mutex
	seen := map[int]bool{}
	p := Process{Loop: Closed, Workers: 4, Count: 100}
	report, err := p.Run(t.Context(), func(_ context.Context, c Call) {
		storeMax(&most, under.Add(1))
		defer under.Add(-1)
		mu.Lock()
		seen[c.Index] = true
		mu.Unlock()
	})
	require.NoError(t, err)
	assert.Len(t, seen, 100)
	assert.Equal(t, 100, report.Calls)
	assert.LessOrEqual(t, most.Load(), int64(4))
	assert.LessOrEqual(t, report.MaxInFlight, 4)

	p = Process{Loop: Closed, Workers: 2, Duration: 300 * time.Millisecond}
	report, err = p.Run(t.Context(), func(context.Context, Call) { time.Sleep(time.Millisecond) })
	require.NoError(t, err)
	assert.Positive(t, report.Calls)
	assert.GreaterOrEqual(t, report.Elapsed, p.Duration)
}

func TestRunEndsWithContext(t *testing.T) {
	for _, p := range []Process{{Loop: Open, Rate: 0.001, Count: 2}, {Loop: Closed, Workers: 1, Duration: time.Hour}} {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(10*time.Millisecond, cancel)
		_, err := p.Run(ctx, func(ctx context.Context, _ Call) { <-ctx.Done() })
		require.ErrorIs(t, err, context.Canceled)
		assert.ErrorContains(t, err, "make calls: context canceled after ")
	}
}

func TestProcessErrors(t *testing.T) {
	for want, p := range map[string]Process{
		`loop: found "" (want open or closed)` + "\nmissing count or duration":                                                                                          {},
		"rate: found NaN (want more than 0 and at most 100000 calls per second)\nworkers: found 1 (want none in an open loop)\ncount: found -1 (want 0 to 1048576)":     {Loop: Open, Rate: math.NaN(), Workers: 1, Count: -1},
		"workers: found 0 (want 1 to 1048576)\nrate: found 1 (want none in a closed loop)\nduration: found -1ns (want 0 or more)\nin flight: found -1 (want 0 or more)": {Loop: Closed, Rate: 1, Duration: -1, InFlight: -1},
	} {
		_, err := p.Run(t.Context(), nil)
		assert.EqualError(t, err, want)
	}
}

func TestLatency(t *testing.T) {
	assert.Zero(t, LatencyOf(nil))
	var seconds []float64
	for i := 100; i >= 0; i-- {
		seconds = append(seconds, float64(i)/100)
	}
	l := LatencyOf(seconds)
	assert.Equal(t, Latency{Count: 101, Mean: l.Mean, P50: 0.5, P95: 0.95, P99: 0.99, Max: 1}, l)
	assert.InDelta(t, 0.5, l.Mean, 1e-9)
	b, err := json.Marshal(Latency{Count: 1, Mean: 0.123456789})
	require.NoError(t, err)
	assert.JSONEq(t, `{"count":1,"mean":0.1234568,"p50":0,"p95":0,"p99":0,"max":0}`, string(b))
}

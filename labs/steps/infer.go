package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/dsrlab/dsrlab/labs/measure"
	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/arrival"
	"github.com/dsrlab/dsrlab/labs/workload/inference"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/topologies"
)

// InferStep asks an inference server for answers of the sizes of slide 25. Clients arrive by themselves (rate: an open loop) or
// ask again when they have their answer (workers: a closed loop). Sizes and times of requests are the same for all variants.
// Samples, labelled with shape and loop (open or closed): ttfb_p50, ttfb_p95, ttfb_p99, completion_p50, completion_p95,
// completion_p99 (s), ttfb_share (ratio: the part of its completion that half of the requests wait at most for their first byte);
// of a stream also tpot_p50, tpot_p95, tpot_p99 (s: time per output token, from a stream's first token to its last) and pace_p50,
// pace_p95, pace_p99 (s: the same where the model makes the tokens; a model that misses its pace is a machine that was disturbed);
// requests_per_second (requests/s), payload_rate (bit/s, of responses), request_bytes and response_bytes (B, medians), failures
// (requests), received_per_sent (ratio: bytes that the client's port carried towards it for each one that it sent, headers and
// acknowledgements included), lb_bytes_per_byte and lb_reply_bytes_per_byte (ratio: all bytes, and those of answers alone, that
// crossed the LB nodes' ports in either direction, for each byte of request and response that was delivered, and for each byte of
// response). Distributions (s), of the requests that were answered: ttfb, completion, and of a stream tpot.
type InferStep struct {
	From string         `json:"from"`
	To   testbed.Target `json:"to"`
	// Shape is llm, image, embeddings or video.
	Shape string `json:"shape"`
	// Scale multiplies the shape's sizes, for links that are scaled, too (default 1).
	Scale float64 `json:"scale,omitempty"`
	// TokenRate replaces the shape's tokens per second. Those of real models are 20 to 100.
	TokenRate float64 `json:"tokenRate,omitempty"`
	// Rate is of an open loop: requests per second, as a Poisson process.
	Rate float64 `json:"rate,omitempty"`
	// Workers is of a closed loop: requests in progress at the same time.
	Workers int `json:"workers,omitempty"`
	// WorkersPerPod is of a closed loop, too: so many for each ready pod.
	WorkersPerPod int `json:"workersPerPod,omitempty"`
	// Count and Time end it, whichever comes first; requests in progress are waited for.
	Count int      `json:"count,omitempty"`
	Time  Duration `json:"time,omitempty"`
}

func (s *InferStep) validate() []error {
	var errs []error
	given := 0
	for _, set := range []bool{s.Rate > 0, s.Workers > 0, s.WorkersPerPod > 0} {
		if set {
			given++
		}
	}
	if given != 1 {
		errs = append(errs, errors.New("rate, workers, workersPerPod: want exactly one of them"))
	}
	if s.Count == 0 && s.Time == 0 {
		errs = append(errs, errors.New("count, time: want one of them or both"))
	}
	if s.Scale < 0 {
		errs = append(errs, fmt.Errorf("scale: found %v (want 0 or more)", s.Scale))
	}
	shape, err := s.shape()
	if err == nil {
		err = shape.Validate()
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("shape: %w", err))
	}
	return errs
}

func (s *InferStep) check(n *names.Names) []error { return n.Call(s.From, s.To) }

func (s *InferStep) measures(*names.Names) []Measurement {
	loop := arrival.Open
	if s.Rate == 0 {
		loop = arrival.Closed
	}
	all := []string{
		"requests_per_second", "payload_rate", "request_bytes", "response_bytes", "failures", "ttfb_share", "lb_bytes_per_byte",
		"lb_reply_bytes_per_byte", "received_per_sent",
	}
	times := []string{"ttfb", "completion"}
	if shape, err := s.shape(); err == nil && shape.Token > 0 {
		times = append(times, "tpot", "pace")
	}
	for _, time := range times {
		all = append(all, time+"_p50", time+"_p95", time+"_p99")
	}
	return Measurements(map[string][]string{"shape": {s.Shape}, "loop": {string(loop)}}, all...)
}

// shape returns the step's shape.
func (s *InferStep) shape() (inference.Shape, error) {
	shape, err := inference.ShapeNamed(s.Shape)
	if err != nil {
		return shape, err
	}
	if s.Scale > 0 {
		for _, size := range []*int64{&shape.Request.Min, &shape.Request.Max, &shape.Response.Min, &shape.Response.Max} {
			*size = int64(math.Round(float64(*size) * s.Scale))
		}
	}
	if s.TokenRate > 0 {
		shape.TokenRate = s.TokenRate
	}
	return shape, nil
}

// process returns the arrival process for a number of ready pods.
func (s *InferStep) process(pods int, seed uint64) arrival.Process {
	p := arrival.Process{
		Loop: arrival.Open, Rate: s.Rate, Count: s.Count, Duration: time.Duration(s.Time), Seed: seed,
	}
	if s.Rate == 0 {
		p.Loop, p.Workers = arrival.Closed, s.Workers+s.WorkersPerPod*pods
	}
	return p
}

func (s *InferStep) run(ctx context.Context, t *trial.Attempt) error {
	to, err := t.Testbed.Target(s.To, t.Variant)
	if err != nil {
		return err
	}
	pods, err := t.Testbed.Backends(s.To, t.Variant)
	if err != nil {
		return err
	}
	shape, err := s.shape()
	if err != nil {
		return err
	}
	watch, err := t.Watch()
	if err != nil {
		return err
	}
	before, err := measure.Ports(t.Testbed, s.From)
	if err != nil {
		return err
	}
	process := s.process(len(pods), t.Seed+uint64(t.Repetition))
	report, err := inference.Load(ctx, inference.LoadOptions{
		Dialer: t.Testbed.Dialer(s.From), Target: to, Shape: shape, Process: process,
		Timeout: patience(t.Plan, shape, process),
	})
	if err != nil {
		return err
	}
	after, err := watch.Stop()
	if err != nil {
		return err
	}
	port, err := measure.Ports(t.Testbed, s.From)
	if err != nil {
		return err
	}
	why := cmp.Or(t.MiscalibratedLink(s.From, pods), after.Disturbed, describePaceMissed(report))
	t.Disturb(why)
	crossed := port[0].Since(before[0])
	return t.Invalidate(why, func() error {
		received, sent := crossed.ToNode, crossed.FromNode
		if err := t.Sample("received_per_sent", "ratio", float64(received.Bytes)/float64(sent.Bytes), inferLabels(report)); err != nil {
			return err
		}
		return sampleInference(t, report, after)
	})
}

// patience returns how long a request may take: the usual time, and what the slowest link needs for all requests that can be in progress
// together. So it says nothing of a rate or a scale.
func patience(plan *topologies.Plan, shape inference.Shape, p arrival.Process) time.Duration {
	slowest := topologies.Rate(0)
	for _, n := range plan.Nodes {
		for _, rate := range []topologies.Rate{n.ToNode.Rate, n.FromNode.Rate} {
			if rate > 0 && (slowest == 0 || rate < slowest) {
				slowest = rate
			}
		}
	}
	together := p.Workers
	if p.Loop == arrival.Open {
		together = p.Count
		if p.Count == 0 {
			together = int(math.Ceil(p.Rate * p.Duration.Seconds()))
		}
	}
	if slowest == 0 {
		return inference.DefaultTimeout
	}
	bits := 8 * float64(together) * float64(shape.Request.Max+shape.Response.Max)
	return inference.DefaultTimeout + time.Duration(bits/float64(slowest)*float64(time.Second))
}

// What a load may be off its own schedule before its times say more of the machine than of the network.
const (
	// paceLimit is for the pace of the stream in the middle, as a share of what was asked for.
	paceLimit = 0.02
	// lagLimit is for the request of an open loop that began latest after it was due, as a share of the mean time between two.
	lagLimit = 0.2
)

// describePaceMissed returns why the machine did not generate the requested load; empty if it did.
func describePaceMissed(r *inference.Report) string {
	if mean := 1 / r.Process.Rate; r.Process.Loop == arrival.Open && r.Arrival.MaxLag.Seconds() > lagLimit*mean {
		return fmt.Sprintf("a client began %.0f ms late, where one arrives each %.0f ms", r.Arrival.MaxLag.Seconds()*1e3, mean*1e3)
	}
	if r.TPOT.Count == 0 {
		return ""
	}
	median, _, ok := r.OffPace()
	switch {
	case !ok:
		return "the model did not report the pace of its tokens"
	case median > paceLimit:
		return fmt.Sprintf("the model made its tokens at a pace that was off by %.1f %%", median*100)
	}
	return ""
}

func inferLabels(r *inference.Report) map[string]string {
	return map[string]string{"shape": r.Shape.Name, "loop": string(r.Process.Loop)}
}

// sampleInference records the results of a load.
func sampleInference(t *trial.Attempt, r *inference.Report, seen trial.Watched) error {
	labels := inferLabels(r)
	samples := []sample{
		{"requests_per_second", "requests/s", r.Rate},
		{"payload_rate", "bit/s", r.PayloadRateIn},
		{"request_bytes", "B", medianOf(r.Samples, func(s inference.Sample) int64 { return s.BytesOut })},
		{"response_bytes", "B", medianOf(r.Samples, func(s inference.Sample) int64 { return s.BytesIn })},
		{"failures", "requests", float64(r.Errors)},
		{"ttfb_share", "ratio", firstByteShare(r.Samples)},
		{"lb_bytes_per_byte", "ratio", float64(seen.Bytes) / float64(r.BytesOut+r.BytesIn)},
		{"lb_reply_bytes_per_byte", "ratio", float64(seen.Replies) / float64(r.BytesIn)},
	}
	samples = append(samples, percentiles("ttfb", r.FirstByte)...)
	samples = append(samples, percentiles("completion", r.Completion)...)
	if r.Shape.Token > 0 {
		samples = append(samples, percentiles("tpot", r.TPOT)...)
		samples = append(samples, percentiles("pace", r.Pace)...)
	}
	for _, s := range samples {
		if err := t.Sample(s.metric, s.unit, s.value, labels); err != nil {
			return err
		}
	}
	for _, s := range distributions(r) {
		if err := t.Series(s, labels); err != nil {
			return err
		}
	}
	all := maps.Clone(labels)
	maps.Copy(all, t.Labels)
	pace := ""
	if r.TPOT.Count > 0 {
		pace = fmt.Sprintf("a token each %.2f ms, as the model makes them (%.2f ms); ", r.TPOT.P50*1e3, r.Pace.P50*1e3)
	}
	told := fmt.Sprintf("%d of %d requests answered, half of them within %.0f ms and all but one in twenty within %.0f ms; "+
		"%s%.3g bytes of answers crossed the LB node's port for each one delivered%s", r.Outcomes[workload.OutcomeOK],
		r.Arrival.Calls+r.Arrival.Shed, r.Completion.P50*1e3, r.Completion.P95*1e3, pace, float64(seen.Replies)/float64(r.BytesIn),
		trial.DescribeLabels(all))
	return t.Evidence(told + t.InvalidNote())
}

// sample is one value to be recorded.
type sample struct {
	metric, unit string
	value        float64
}

// percentiles returns the percentiles of a latency; without any successful request there are none.
func percentiles(metric string, l arrival.Latency) []sample {
	values := []float64{l.P50, l.P95, l.P99}
	if l.Count == 0 {
		values = []float64{math.NaN(), math.NaN(), math.NaN()}
	}
	return []sample{{metric + "_p50", "s", values[0]}, {metric + "_p95", "s", values[1]}, {metric + "_p99", "s", values[2]}}
}

// distributions returns how the times of the requests that were ok are distributed.
func distributions(r *inference.Report) []results.Series {
	var firsts, completions, tpots []float64
	for _, s := range r.Samples {
		if s.Outcome != workload.OutcomeOK {
			continue
		}
		firsts, completions = append(firsts, s.FirstByte.Seconds()), append(completions, s.Completion.Seconds())
		if s.TPOT > 0 {
			tpots = append(tpots, s.TPOT.Seconds())
		}
	}
	return []results.Series{
		results.NewDistribution("ttfb", "s", firsts), results.NewDistribution("completion", "s", completions), results.NewDistribution("tpot", "s", tpots),
	}
}

// firstByteShare returns the median of how much of its completion each request that was ok waited for its first byte.
func firstByteShare(requests []inference.Sample) float64 {
	var shares []float64
	for _, r := range requests {
		if r.Outcome == workload.OutcomeOK {
			shares = append(shares, r.FirstByte.Seconds()/r.Completion.Seconds())
		}
	}
	return stats.Median(shares)
}

// medianOf returns the median of a size over all requests.
func medianOf(requests []inference.Sample, size func(inference.Sample) int64) float64 {
	sizes := make([]float64, 0, len(requests))
	for _, r := range requests {
		sizes = append(sizes, float64(size(r)))
	}
	return stats.Median(sizes)
}

// series implements serial.
func (s *InferStep) series() []string {
	all := []string{"ttfb", "completion"}
	if shape, err := s.shape(); err == nil && shape.Token > 0 {
		all = append(all, "tpot")
	}
	return all
}

// dependsOnRates implements rateDependent.
func (s *InferStep) dependsOnRates() {}

package labs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/dsrlab/dsrlab/labs/stand"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/labs/workload/arrival"
	"github.com/dsrlab/dsrlab/labs/workload/inference"
	"github.com/dsrlab/dsrlab/results/stats"
)

// InferStep asks an inference server for answers of the sizes of slide 25. Clients arrive by themselves (rate: an open loop) or
// ask again when they have their answer (workers: a closed loop). Sizes and times of requests are the same for all variants.
// Samples, labelled with shape and loop (open or closed): ttfb_p50, ttfb_p95, ttfb_p99, completion_p50, completion_p95,
// completion_p99 (s), of a stream also token_gap_p50 and token_gap_p99 (s); requests_per_second (requests/s), goodput (bit/s,
// of responses), request_bytes and response_bytes (B, medians), failures (requests), lb_bytes_per_byte and
// lb_reply_bytes_per_byte (ratio: all bytes, and those of answers alone, that crossed the LB nodes' ports in either direction,
// for each byte of request and response that was delivered, and for each byte of response).
type InferStep struct {
	From string       `json:"from"`
	To   stand.Target `json:"to"`
	// Shape is llm, image, embeddings or video.
	Shape string `json:"shape"`
	// Scale multiplies the shape's sizes, for links that are scaled, too (default 1).
	Scale float64 `json:"scale,omitempty"`
	// TokenRate replaces the shape's tokens per second, so that a stream takes less time.
	TokenRate float64 `json:"tokenRate,omitempty"`
	// Rate is of an open loop: requests per second, as a Poisson process.
	Rate float64 `json:"rate,omitempty"`
	// Workers is of a closed loop: requests under way at the same time.
	Workers int `json:"workers,omitempty"`
	// WorkersPerPod is of a closed loop, too: so many for each ready pod.
	WorkersPerPod int `json:"workersPerPod,omitempty"`
	// Count and Time end it, whichever comes first; requests under way are waited for.
	Count int      `json:"count,omitempty"`
	Time  Duration `json:"time,omitempty"`
}

func (s *InferStep) validate(*Lab) []error {
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
		errs = append(errs, fmt.Errorf("scale: %v must not be negative", s.Scale))
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

// shape is the shape as the step has it.
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

// process says when requests begin, for so many ready pods.
func (s *InferStep) process(pods int, seed uint64) arrival.Process {
	p := arrival.Process{
		Loop: arrival.Open, Rate: s.Rate, Count: s.Count, Duration: time.Duration(s.Time), Seed: seed,
	}
	if s.Rate == 0 {
		p.Loop, p.Workers = arrival.Closed, s.Workers+s.WorkersPerPod*pods
	}
	return p
}

func (s *InferStep) run(ctx context.Context, t *turn) error {
	to, err := t.stand.Target(s.To, t.variant)
	if err != nil {
		return err
	}
	pods, err := t.stand.Backends(s.To, t.variant)
	if err != nil {
		return err
	}
	shape, err := s.shape()
	if err != nil {
		return err
	}
	watch, err := t.watch()
	if err != nil {
		return err
	}
	report, err := inference.Load(ctx, inference.LoadOptions{
		Dialer: workload.Dialer{Enter: t.stand.Enter(s.From)}, Target: to, Shape: shape,
		Process: s.process(len(pods), t.lab.Spec.Seed+uint64(t.repetition)),
	})
	if err != nil {
		return err
	}
	after, err := watch.stop()
	if err != nil {
		return err
	}
	t.invalid = firstReason(t.linksOff(s.From, pods), after.disturbed)
	t.disturb(t.invalid)
	defer func() { t.invalid = "" }()
	return t.sampleInference(report, after)
}

// sampleInference records how the requests of a load went.
func (t *turn) sampleInference(r *inference.Report, seen watched) error {
	labels := map[string]string{"shape": r.Shape.Name, "loop": string(r.Process.Loop)}
	samples := []sample{
		{"requests_per_second", "requests/s", r.Rate},
		{"goodput", "bit/s", r.GoodputIn},
		{"request_bytes", "B", medianOf(r.Samples, func(s inference.Sample) int64 { return s.BytesOut })},
		{"response_bytes", "B", medianOf(r.Samples, func(s inference.Sample) int64 { return s.BytesIn })},
		{"failures", "requests", float64(r.Errors)},
		{"lb_bytes_per_byte", "ratio", float64(seen.bytes) / float64(r.BytesOut+r.BytesIn)},
		{"lb_reply_bytes_per_byte", "ratio", float64(seen.replies) / float64(r.BytesIn)},
	}
	samples = append(samples, percentiles("ttfb", r.FirstByte)...)
	samples = append(samples, percentiles("completion", r.Completion)...)
	if r.Shape.Token > 0 {
		samples = append(samples, percentiles("token_gap", r.TokenGap)...)
	}
	for _, s := range samples {
		if err := t.sample(s.metric, s.unit, s.value, labels); err != nil {
			return err
		}
	}
	all := maps.Clone(labels)
	maps.Copy(all, t.labels)
	told := fmt.Sprintf("%d of %d requests answered, half of them within %.0f ms and all but one in twenty within %.0f ms; "+
		"%.3g bytes of answers crossed the LB node's port for each one delivered%s", r.Outcomes[workload.OutcomeOK],
		r.Arrival.Calls+r.Arrival.Shed, r.Completion.P50*1e3, r.Completion.P95*1e3, float64(seen.replies)/float64(r.BytesIn),
		describeLabels(all))
	return t.evidence(told + t.caveat())
}

// sample is one value to be recorded.
type sample struct {
	metric, unit string
	value        float64
}

// percentiles are those of a latency; without any request that was ok they are not measured.
func percentiles(metric string, l arrival.Latency) []sample {
	values := []float64{l.P50, l.P95, l.P99}
	if l.Count == 0 {
		values = []float64{math.NaN(), math.NaN(), math.NaN()}
	}
	return []sample{{metric + "_p50", "s", values[0]}, {metric + "_p95", "s", values[1]}, {metric + "_p99", "s", values[2]}}
}

// medianOf is the median of a size over all requests.
func medianOf(requests []inference.Sample, size func(inference.Sample) int64) float64 {
	sizes := make([]float64, 0, len(requests))
	for _, r := range requests {
		sizes = append(sizes, float64(size(r)))
	}
	return stats.Median(sizes)
}

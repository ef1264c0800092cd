package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/labs/measure"
	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/units"
	"github.com/dsrlab/dsrlab/topologies"
)

// TransferStep transfers bytes as fast as possible.
// Samples: payload_rate (bit/s), with several streams also payload_rate_together (bit/s: while all of them ran), retransmits (segments),
// retransmitted (ratio: the share of the sent payload that was sent again) and rtt (s) of the sender, lb_port_drops (packets), lb_port_use (ratio: the part of its rate that the busier direction of the
// LB node's port carried while all streams ran), cpu_busy (ratio).
// Series over time: delivered (B) and retransmits (segments).
type TransferStep struct {
	From      string             `json:"from"`
	To        testbed.Target     `json:"to"`
	Direction workload.Direction `json:"direction"`
	Time      Duration           `json:"time"`
	// Streams in parallel (default 1).
	Streams int `json:"streams,omitempty"`
	// StreamsPerPod are so many for each ready pod, instead of Streams: enough of them, and every pod gets some.
	StreamsPerPod int `json:"streamsPerPod,omitempty"`
}

func (s *TransferStep) validate() []error {
	var errs []error
	if s.Direction != workload.Download && s.Direction != workload.Upload {
		errs = append(errs, fmt.Errorf("direction: found %q (want download or upload)", s.Direction))
	}
	if s.Streams != 0 && s.StreamsPerPod != 0 {
		errs = append(errs, errors.New("streams, streamsPerPod: want one of them at most"))
	}
	return errs
}

func (s *TransferStep) check(n *names.Names) []error { return n.Call(s.From, s.To) }

func (s *TransferStep) measures(*names.Names) []Measurement {
	all := []string{"payload_rate", "retransmits", "retransmitted", "rtt", "lb_port_drops", "lb_port_use", "cpu_busy"}
	if s.Streams > 1 || s.StreamsPerPod > 0 {
		all = append(all, "payload_rate_together")
	}
	return Measurements(nil, all...)
}

func (s *TransferStep) run(ctx context.Context, t *trial.Attempt) error {
	to, err := t.Testbed.Target(s.To, t.Variant)
	if err != nil {
		return err
	}
	pods, err := t.Testbed.Backends(s.To, t.Variant)
	if err != nil {
		return err
	}
	watch, err := t.Watch()
	if err != nil {
		return err
	}
	followed := measure.Follow(t.Testbed, t.LBNames()...)
	untold := t.TellRate(s.From, s.Direction)
	report, err := workload.Bulk(ctx, workload.BulkOptions{
		Dialer: workload.Dialer{Enter: t.Testbed.Enter(s.From)}, Target: to, Direction: s.Direction,
		Duration: time.Duration(s.Time), Streams: s.Streams + s.StreamsPerPod*len(pods),
	})
	untold()
	counts, countErr := followed()
	if report == nil || ctx.Err() != nil {
		return err
	}
	flow := report.Download
	if s.Direction == workload.Upload {
		flow = report.Upload
	}
	invalid := ""
	if err != nil {
		invalid = inOneLine(err)
	}
	after, err := watch.Stop()
	if err = errors.Join(err, countErr); err != nil {
		return err
	}
	why := cmp.Or(invalid, t.MiscalibratedLink(s.From, pods), after.Disturbed, t.UnderCeiling(s.From, pods, s.Direction, flow.PayloadRate, after))
	t.Disturb(why)
	return t.Invalidate(why, func() error { return s.record(t, report, flow, after, counts) })
}

// record writes the samples of a transfer, and tells what it came to.
func (s *TransferStep) record(t *trial.Attempt, report *workload.BulkReport, flow *workload.Flow, after trial.Watched, counts []measure.Reading) error {
	ports := measure.Between(counts, report.Began.Add(flow.TogetherFrom), report.Began.Add(flow.TogetherUntil))
	together, use := flow.Together, measure.Use(ports, flow.TogetherUntil-flow.TogetherFrom)
	if together == 0 { // they never all ran
		together, use = math.NaN(), math.NaN()
	}
	if len(report.Streams) > 1 {
		if err := t.Sample("payload_rate_together", "bit/s", together, nil); err != nil {
			return err
		}
	}
	if err := errors.Join(
		t.Sample("payload_rate", "bit/s", flow.PayloadRate, nil),
		t.Sample("retransmits", "segments", float64(flow.Retransmits), nil),
		t.Sample("retransmitted", "ratio", flow.Retransmitted(), nil),
		t.Sample("rtt", "s", flow.RTT.Seconds(), nil),
		t.Sample("lb_port_drops", "packets", float64(after.Drops), nil),
		t.Sample("lb_port_use", "ratio", use, nil),
		t.Sample("cpu_busy", "ratio", after.Busy, nil),
		recordOverTime(t, flow),
	); err != nil {
		return err
	}
	told := fmt.Sprintf("%s, %s retransmitted, %s packets dropped at the LB node's port%s", units.Format(flow.PayloadRate, "bit/s"),
		units.Percent(flow.Retransmitted()), units.Number(float64(after.Drops)), trial.DescribeLabels(t.Labels))
	return t.Evidence(told + t.InvalidNote())
}

// recordOverTime records what was delivered and sent again, interval by interval.
func recordOverTime(t *trial.Attempt, flow *workload.Flow) error {
	var at []time.Duration
	var delivered, again []float64
	for _, r := range flow.Series {
		at, delivered, again = append(at, r.At), append(delivered, float64(r.Bytes)), append(again, float64(r.Retransmits))
	}
	err := t.Series(results.NewAmounts("delivered", "B", at, delivered), nil)
	if flow.SenderReported {
		err = errors.Join(err, t.Series(results.NewAmounts("retransmits", "segments", at, again), nil))
	}
	return err
}

// inOneLine formats the first of several errors, and how many more there are.
func inOneLine(err error) string {
	lines := strings.Split(err.Error(), "\n")
	if len(lines) == 1 {
		return lines[0]
	}
	return fmt.Sprintf("%s (and %d more)", lines[0], len(lines)-1)
}

// command implements commander.
func (s *TransferStep) command(v testbed.Variant, plan *topologies.Plan) string {
	if to := addressOf(v, plan, s.To); to.IsValid() {
		return fmt.Sprintf("sudo dsrlab exec %s -- bin/labpod bulk --direction %s %v", s.From, s.Direction, to)
	}
	return ""
}

// series implements serial.
func (s *TransferStep) series() []string { return []string{"delivered", "retransmits"} }

// dependsOnRates implements rateDependent.
func (s *TransferStep) dependsOnRates() {}

package labs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// step runs one step.
func (t *turn) step(ctx context.Context, s *Step) error {
	switch {
	case s.Connect != nil:
		return t.connect(ctx, s.Connect)
	case s.Transfer != nil:
		return t.transfer(ctx, s.Transfer)
	}
	return errors.New("no action: want connect or transfer")
}

// connect asks the pod whom it sees.
func (t *turn) connect(ctx context.Context, s *ConnectStep) error {
	to, err := t.stand.Target(s.To, t.variant)
	if err != nil {
		return err
	}
	report, err := workload.Connect(ctx, workload.ConnectOptions{
		Dialer: workload.Dialer{Enter: t.stand.Enter(s.From)}, Protocol: s.Protocol, Target: to, Count: s.Count,
		Timeout: time.Duration(s.Timeout),
	})
	if err != nil {
		return err
	}
	labels := map[string]string{"protocol": string(s.Protocol)}
	answered := report.Outcomes[workload.OutcomeOK]
	if err := t.sample("connected", "ratio", ratio(answered, report.Count), labels); err != nil {
		return err
	}
	if answered > 0 { // else nobody was seen
		if err := errors.Join(
			t.sample("source_preserved", "ratio", ratio(report.Preserved, answered), labels),
			t.sample("source_is_lb_node", "ratio", ratio(t.seenLBNode(report), answered), labels),
		); err != nil {
			return err
		}
	}
	return t.evidence(describeSeen(report))
}

func ratio(part, of int) float64 { return float64(part) / float64(of) }

// seenLBNode counts the connections in which the pod saw an LB node.
func (t *turn) seenLBNode(report *workload.ConnectReport) int {
	n := 0
	for _, c := range report.Connections {
		for _, lb := range t.stand.LBNodes() {
			if c.Seen.Addr() == lb.Address.Addr() {
				n++
			}
		}
	}
	return n
}

// describeSeen puts a report into a sentence.
func describeSeen(report *workload.ConnectReport) string {
	seen := make(map[netip.Addr]int)
	for _, c := range report.Connections {
		if c.Outcome == workload.OutcomeOK {
			seen[c.Seen.Addr()]++
		}
	}
	if len(seen) == 0 {
		return fmt.Sprintf("%s: none of %d connections to %v got an answer (%v)",
			strings.ToUpper(string(report.Protocol)), report.Count, report.Target, report.Outcomes)
	}
	var parts []string
	for _, addr := range slices.SortedFunc(maps.Keys(seen), netip.Addr.Compare) {
		parts = append(parts, fmt.Sprintf("%v %d times", addr, seen[addr]))
	}
	client := "?"
	if len(report.Connections) > 0 {
		client = report.Connections[0].Local.Addr().String()
	}
	return fmt.Sprintf("%s: client %s called %v, and the pod saw %s",
		strings.ToUpper(string(report.Protocol)), client, report.Target, strings.Join(parts, ", "))
}

// transfer measures throughput.
func (t *turn) transfer(ctx context.Context, s *TransferStep) error {
	to, err := t.stand.Target(s.To, t.variant)
	if err != nil {
		return err
	}
	watch, err := t.watch()
	if err != nil {
		return err
	}
	report, err := workload.Bulk(ctx, workload.BulkOptions{
		Dialer: workload.Dialer{Enter: t.stand.Enter(s.From)}, Target: to, Direction: s.Direction,
		Duration: time.Duration(s.Time), Streams: s.Streams,
	})
	if report == nil {
		return err
	}
	flow := report.Download
	if s.Direction == workload.Upload {
		flow = report.Upload
	}
	invalid := ""
	if err != nil {
		invalid = err.Error()
	}
	after, err := watch.stop()
	if err != nil {
		return err
	}
	t.invalid = firstReason(invalid, t.uncalibrated, after.invalid)
	defer func() { t.invalid = "" }()
	if err := errors.Join(
		t.sample("goodput", "bit/s", flow.Goodput, nil),
		t.sample("retransmits", "segments", float64(flow.Retransmits), nil),
		t.sample("rtt", "s", flow.RTT.Seconds(), nil),
		t.sample("lb_port_drops", "packets", float64(after.drops), nil),
		t.sample("cpu_busy", "ratio", after.busy, nil),
	); err != nil {
		return err
	}
	return t.evidence(fmt.Sprintf("%.1f Mbit/s, %d retransmits, %d packets dropped at the LB node's port%s",
		flow.Goodput/1e6, flow.Retransmits, after.drops, describeLabels(t.labels)))
}

func firstReason(reasons ...string) string {
	for _, r := range reasons {
		if r != "" {
			return r
		}
	}
	return ""
}

func describeLabels(labels map[string]string) string {
	if queue, ok := labels["queue"]; ok {
		return " (queue " + queue + ")"
	}
	return ""
}

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

	"github.com/dsrlab/dsrlab/labs/stand"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results/stats"
)

// ConnectStep opens connections, or sends datagrams, and asks whom the server saw.
// Samples, labelled with the protocol: connected, source_preserved and source_is_lb_node (ratio), answer_p50 and answer_p99 (s,
// from the connection's begin to the answer); with spread also pods
// (those that answered) and requests_cv (the coefficient of variation of the answers of all ready pods).
type ConnectStep struct {
	From     string            `json:"from"`
	To       stand.Target      `json:"to"`
	Protocol workload.Protocol `json:"protocol"`
	Count    int               `json:"count"`
	// Timeout of each connection (default 2s); where a variant is meant to fail, a short one saves time.
	Timeout Duration `json:"timeout,omitempty"`
	// Spread asks which pod answered, too; TCP only.
	Spread bool `json:"spread,omitempty"`
}

func (s *ConnectStep) validate(*Lab) []error {
	errs := checkProtocol(s.Protocol)
	if s.Spread && s.Protocol != workload.TCP {
		errs = append(errs, errors.New("spread: only tcp tells which pod answered"))
	}
	return errs
}

func (s *ConnectStep) run(ctx context.Context, t *turn) error {
	to, err := t.stand.Target(s.To, t.variant)
	if err != nil {
		return err
	}
	report, err := workload.Connect(ctx, workload.ConnectOptions{
		Dialer: workload.Dialer{Enter: t.stand.Enter(s.From)}, Protocol: s.Protocol, Target: to, Count: s.Count,
		Timeout: time.Duration(s.Timeout), Detail: s.Spread,
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
			t.sample("answer_p50", "s", stats.Percentile(answerTimes(report), 50), labels),
			t.sample("answer_p99", "s", stats.Percentile(answerTimes(report), 99), labels),
		); err != nil {
			return err
		}
	}
	if s.Spread {
		if err := t.sampleSpread(s.To, report, labels); err != nil {
			return err
		}
	}
	return t.evidence(describeSeen(report) + describeLabels(t.stepLabels))
}

// sampleSpread records how evenly the service's ready pods answered.
func (t *turn) sampleSpread(to stand.Target, report *workload.ConnectReport, labels map[string]string) error {
	requests, err := t.stand.Backends(to, t.variant)
	if err != nil {
		return err
	}
	answered := make(map[netip.Addr]int)
	for _, c := range report.Connections {
		if c.Outcome == workload.OutcomeOK {
			answered[c.Server.Addr()]++
		}
	}
	var counts []float64
	var told []string
	for _, pod := range requests {
		counts = append(counts, float64(answered[pod]))
		told = append(told, fmt.Sprintf("%v %d", pod, answered[pod]))
	}
	return errors.Join(
		t.sample("pods", "pods", float64(len(answered)), labels),
		t.sample("requests_cv", "ratio", stats.CV(counts), labels),
		t.evidence("requests of each pod: "+strings.Join(told, ", ")),
	)
}

func ratio(part, of int) float64 { return float64(part) / float64(of) }

// answerTimes are, in seconds, how long the connections took that were answered.
func answerTimes(report *workload.ConnectReport) []float64 {
	var all []float64
	for _, c := range report.Connections {
		if c.Outcome == workload.OutcomeOK {
			all = append(all, (c.Handshake + c.RTT).Seconds())
		}
	}
	return all
}

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
	i := slices.IndexFunc(report.Connections, func(c workload.Seen) bool { return c.Outcome == workload.OutcomeOK })
	client := report.Connections[i].Local.Addr()
	return fmt.Sprintf("%s: client %v called %v, and the pod saw %s",
		strings.ToUpper(string(report.Protocol)), client, report.Target, strings.Join(parts, ", "))
}

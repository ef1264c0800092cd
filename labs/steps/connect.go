package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/stats"
	"github.com/dsrlab/dsrlab/topologies"
)

// ConnectStep opens connections, or sends datagrams, and records which client address the server saw.
// Samples, labelled with the protocol: connected, source_preserved and source_is_lb_node (ratio), answer_p50 and answer_p99 (s,
// from the connection's start to the answer); with spread also pods
// (those that answered) and requests_cv (the coefficient of variation of the answers of all ready pods).
// Distribution, on a testbed: answer (s).
type ConnectStep struct {
	From     string            `json:"from"`
	To       testbed.Target    `json:"to"`
	Protocol workload.Protocol `json:"protocol"`
	Count    int               `json:"count"`
	// Timeout of each connection (default 5s); where a variant is meant to fail, a short one saves time.
	Timeout Duration `json:"timeout,omitempty"`
	// Data is what each connection sends besides its question, and must get back before it counts as connected: enough of it fills
	// packets. At most 64kb; TCP only.
	Data topologies.Size `json:"data,omitempty"`
	// Spread also records which pod answered; TCP only.
	Spread bool `json:"spread,omitempty"`
}

func (s *ConnectStep) validate() []error {
	errs := checkProtocol(s.Protocol)
	if s.Data > workload.MaxData || s.Data > 0 && s.Protocol != workload.TCP {
		errs = append(errs, fmt.Errorf("data: found %v with %s (want %v at most, with tcp)", s.Data, s.Protocol, topologies.Size(workload.MaxData)))
	}
	if s.Spread && s.Protocol != workload.TCP {
		errs = append(errs, errors.New("spread: found it with udp (want tcp, which reports the pod that answered)"))
	}
	return errs
}

func (s *ConnectStep) check(n *names.Names) []error { return n.Call(s.From, s.To) }

func (s *ConnectStep) measures(*names.Names) []Measurement {
	all := []string{"connected", "source_preserved", "source_is_lb_node", "answer_p50", "answer_p99"}
	if s.Spread {
		all = append(all, "pods", "requests_cv")
	}
	return Measurements(one("protocol", string(s.Protocol)), all...)
}

func (s *ConnectStep) run(ctx context.Context, t *trial.Attempt) error {
	to, err := t.Testbed.Target(s.To, t.Variant)
	if err != nil {
		return err
	}
	report, err := workload.Connect(ctx, s.Options(t.Testbed.Dialer(s.From), to))
	if err != nil {
		return err
	}
	var pods []netip.Addr
	if s.Spread {
		if pods, err = t.Testbed.Backends(s.To, t.Variant); err != nil {
			return err
		}
	}
	if err := t.Record(s.Values(report, func(a netip.Addr) bool { return isLBAddress(t, a) }, pods)); err != nil {
		return err
	}
	if err := t.Series(results.NewDistribution("answer", "s", answerTimes(report)), map[string]string{"protocol": string(s.Protocol)}); err != nil {
		return err
	}
	if s.Spread {
		if err := t.Evidence(DescribeSpread(report, pods)); err != nil {
			return err
		}
	}
	return t.Evidence(DescribeSeen(report, nil) + trial.DescribeLabels(t.StepLabels()))
}

// Options returns the options with which the step calls a target.
func (s *ConnectStep) Options(from workload.Dialer, to netip.AddrPort) workload.ConnectOptions {
	return workload.ConnectOptions{
		Dialer: from, Protocol: s.Protocol, Target: to, Count: s.Count, Timeout: time.Duration(s.Timeout), Detail: s.Spread,
		Data: int(s.Data),
	}
}

// Values returns the step's samples from the report of its connections. isLBNode reports whether an address is an LB node's; pods are the
// service's ready ones, and are asked for with Spread only.
func (s *ConnectStep) Values(report *workload.ConnectReport, isLBNode func(netip.Addr) bool, pods []netip.Addr) []trial.Value {
	labels := map[string]string{"protocol": string(s.Protocol)}
	value := func(metric, unit string, v float64) trial.Value {
		return trial.Value{Metric: metric, Unit: unit, Value: v, Labels: labels}
	}
	answered := report.Outcomes[workload.OutcomeOK]
	all := []trial.Value{value("connected", "ratio", ratio(answered, report.Count))}
	if answered > 0 { // else nobody was seen
		all = append(all,
			value("source_preserved", "ratio", ratio(report.Preserved, answered)),
			value("source_is_lb_node", "ratio", ratio(seenBy(report, isLBNode), answered)),
			value("answer_p50", "s", stats.Percentile(answerTimes(report), 50)),
			value("answer_p99", "s", stats.Percentile(answerTimes(report), 99)),
		)
	}
	if !s.Spread {
		return all
	}
	requests := requestsOf(report)
	var counts []float64
	for _, pod := range pods {
		counts = append(counts, float64(requests[pod]))
	}
	return append(all, value("pods", "pods", float64(len(requests))), value("requests_cv", "ratio", stats.CV(counts)))
}

// requestsOf counts the connections that each pod answered.
func requestsOf(report *workload.ConnectReport) map[netip.Addr]int {
	return countAnswered(report, func(c *workload.Seen) netip.Addr { return c.Server.Addr() })
}

// SeenAddresses counts, of the connections that were answered, how often the pod saw each address.
func SeenAddresses(report *workload.ConnectReport) map[netip.Addr]int {
	return countAnswered(report, func(c *workload.Seen) netip.Addr { return c.Seen.Addr() })
}

func countAnswered(report *workload.ConnectReport, of func(*workload.Seen) netip.Addr) map[netip.Addr]int {
	counts := make(map[netip.Addr]int)
	for i := range report.Connections {
		if c := &report.Connections[i]; c.Outcome == workload.OutcomeOK {
			counts[of(c)]++
		}
	}
	return counts
}

// DescribeSpread formats how many connections each of the ready pods answered.
func DescribeSpread(report *workload.ConnectReport, pods []netip.Addr) string {
	requests := requestsOf(report)
	var told []string
	for _, pod := range pods {
		told = append(told, fmt.Sprintf("%v %d", pod, requests[pod]))
	}
	return "requests of each pod: " + strings.Join(told, ", ")
}

func ratio(part, of int) float64 { return float64(part) / float64(of) }

// answerTimes returns the durations of the answered connections, in seconds.
func answerTimes(report *workload.ConnectReport) []float64 {
	var all []float64
	for _, c := range report.Connections {
		if c.Outcome == workload.OutcomeOK {
			all = append(all, (c.Handshake + c.RTT).Seconds())
		}
	}
	return all
}

// seenBy counts the connections in which the pod saw one of some addresses.
func seenBy(report *workload.ConnectReport, isOne func(netip.Addr) bool) int {
	n := 0
	for addr, times := range SeenAddresses(report) {
		if isOne(addr) {
			n += times
		}
	}
	return n
}

// DescribeSeen formats a report as a sentence. who, if not nil, names the owner of an address that the pod saw.
func DescribeSeen(report *workload.ConnectReport, who func(netip.Addr) string) string {
	seen := SeenAddresses(report)
	protocol := strings.ToUpper(string(report.Protocol))
	if len(seen) == 0 {
		return fmt.Sprintf("%s: none of %d connections to %v got an answer (%s)", protocol, report.Count, report.Target, workload.Tally(report.Outcomes))
	}
	var parts []string
	for _, addr := range slices.SortedFunc(maps.Keys(seen), netip.Addr.Compare) {
		name := addr.String()
		if who != nil {
			name += " (" + who(addr) + ")"
		}
		parts = append(parts, fmt.Sprintf("%s %d times", name, seen[addr]))
	}
	i := slices.IndexFunc(report.Connections, func(c workload.Seen) bool { return c.Outcome == workload.OutcomeOK })
	client := report.Connections[i].Local.Addr()
	return fmt.Sprintf("%s: client %v called %v, and the pod saw %s", protocol, client, report.Target, strings.Join(parts, ", "))
}

// command implements commander.
func (s *ConnectStep) command(v testbed.Variant, plan *topologies.Plan) string {
	if address := addressOf(v, plan, s.To); s.Data > 0 && address.IsValid() {
		return fmt.Sprintf("sudo dsrlab exec %s -- bin/labpod connect --data %d %v", s.From, s.Data, address)
	}
	return request(v, plan, s.From, s.To, s.Protocol)
}

// series implements serial.
func (s *ConnectStep) series() []string { return []string{"answer"} }

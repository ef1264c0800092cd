package steps

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
)

// TableStep finds out a row of the table of slides 12 and 21 by requests: through every node, with and without some of the pods,
// over TCP and UDP, with an application that does not know the approach and with one that does.
// Samples: cell (ratio, 1: yes), labelled with the column; and what the cells follow from, as served, tcp_answered,
// udp_answered, plain_sees and parsing_sees (ratio).
type TableStep struct {
	From     string   `json:"from"`
	Approach Approach `json:"approach"`
	// Proxy is the node that the approach's proxy runs on; none for direct.
	Proxy   string `json:"proxy,omitempty"`
	Service string `json:"service"`
	// Port and UDP are the service's ports of an application that knows nothing; Parsing is that of one that knows the
	// approach, and ParsingPort where it listens in the pods.
	Port        string `json:"port"`
	UDP         string `json:"udp"`
	Parsing     string `json:"parsing"`
	ParsingPort uint16 `json:"parsingPort"`
	// Gone lists pods that are removed to see what still serves.
	Gone []string `json:"gone"`
	// Count of requests through each node.
	Count int `json:"count"`
	// Timeout of each (default 5s).
	Timeout Duration `json:"timeout,omitempty"`
}

// The columns of the table.
const (
	columnHA        = "high availability"
	columnTCP       = "TCP"
	columnUDP       = "UDP"
	columnUnchanged = "no application change"
	columnSource    = "source address"
)

func (s *TableStep) validate() []error {
	errs := []error{s.Approach.validate()}
	if (s.Approach != ApproachDirect) != (s.Proxy != "") {
		errs = append(errs, errors.New("proxy: want a node for every approach but direct, and none for direct"))
	}
	if s.Count <= 0 {
		errs = append(errs, errors.New("count: found less than 1 (want 1 or more)"))
	}
	var all []error
	for _, err := range errs {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

func (s *TableStep) check(n *names.Names) []error {
	errs := append(n.From(s.From), names.Optional("proxy", "node", s.Proxy, n.Nodes)...)
	errs = append(errs, names.Each("gone", "pod", s.Gone, n.Pods)...)
	if unknown := names.Known("service", "service", s.Service, n.Services); unknown != nil {
		return append(errs, unknown...)
	}
	for _, port := range []struct{ field, name string }{{"port", s.Port}, {"udp", s.UDP}, {"parsing", s.Parsing}} {
		errs = append(errs, names.Optional(port.field, "port of "+s.Service, port.name, n.Ports[s.Service])...)
	}
	return errs
}

func (s *TableStep) measures(n *names.Names) []Measurement {
	all := Measurements(nil, "tcp_answered", "udp_answered", "plain_sees", "plain_works", "parsing_sees")
	all = append(all, Measurements(map[string][]string{"node": n.LBNodes, "pods": {"all", "gone"}}, "served")...)
	columns := []string{columnHA, columnTCP, columnUDP, columnUnchanged, columnSource}
	return append(all, Measurements(map[string][]string{"column": columns}, "cell")...)
}

func (s *TableStep) run(ctx context.Context, t *trial.Attempt) error {
	e, err := s.enter(ctx, t)
	if err != nil {
		return err
	}
	err = errors.Join(s.measure(ctx, t, e), e.close())
	return err
}

func (s *TableStep) measure(ctx context.Context, t *trial.Attempt, e *entrances) error {
	informed := e.plain
	if s.Approach == ApproachProxied {
		informed = e.parsing
	}
	all, err := s.sources(ctx, t, e, informed)
	if err != nil {
		return err
	}
	if err := s.protocols(ctx, t, e, informed); err != nil {
		return err
	}
	// The rest of the trial is without the pods that are gone: the step is the last of its phase.
	without := t.Variant
	without.Pods = slices.DeleteFunc(slices.Clone(without.Pods), func(p string) bool { return slices.Contains(s.Gone, p) })
	if err := t.Testbed.Install(ctx, without); err != nil {
		return err
	}
	least, err := s.served(ctx, t, informed, "gone")
	if err != nil {
		return err
	}
	return recordCell(t, columnHA, min(all, least), fmt.Sprintf("of the requests through the worst node %.0f %% are served, with %s gone %.0f %%",
		all*100, words.List(s.Gone), least*100))
}

// sources records which addresses applications see, and returns the share of the requests that the worst node serves.
func (s *TableStep) sources(ctx context.Context, t *trial.Attempt, e *entrances, informed map[string]netip.AddrPort) (float64, error) {
	client, err := t.Testbed.AddressOf(s.From, true)
	if err != nil {
		return 0, err
	}
	least := 1.0
	var plain, parsing seenClients
	for _, n := range t.Testbed.LBNodes() {
		knowing, err := s.get(ctx, t, informed[n.Name])
		if err != nil {
			return 0, err
		}
		unknowing := knowing
		if s.Approach == ApproachProxied {
			if unknowing, err = s.get(ctx, t, e.plain[n.Name]); err != nil {
				return 0, err
			}
		}
		served := parsing.add(knowing, client, s.Approach == ApproachHeader)
		plain.add(unknowing, client, false)
		least = min(least, ratio(served, s.Count))
		if err := t.Sample("served", "ratio", ratio(served, s.Count), map[string]string{"node": n.Name, "pods": "all"}); err != nil {
			return 0, err
		}
	}
	if parsing.served == 0 {
		return 0, errors.New("no node served a request: source addresses can't be determined")
	}
	knows, known := ratio(parsing.right, parsing.served), ratio(plain.right, parsing.served)
	works := ratio(plain.served, parsing.served)
	// An application needs no change if it works as it is, and sees all that one that was changed would see.
	unchanged := 0.0
	if works == 1 && known == knows {
		unchanged = 1
	}
	return least, errors.Join(
		t.Sample("parsing_sees", "ratio", knows, nil), t.Sample("plain_sees", "ratio", known, nil), t.Sample("plain_works", "ratio", works, nil),
		recordCell(t, columnSource, knows, fmt.Sprintf("an application that knows the approach sees the client in %.0f %% of its requests", knows*100)),
		recordCell(t, columnUnchanged, unchanged, fmt.Sprintf("one that knows nothing works in %.0f %%, and sees the client in %.0f %%", works*100, known*100)),
	)
}

// seenClients counts requests that were served, and those whose application knew the client.
type seenClients struct{ served, right int }

func (c *seenClients) add(r *workload.GetReport, client netip.Addr, headers bool) (served int) {
	for _, response := range r.Responses {
		if response.Outcome != workload.OutcomeOK || response.Status != 200 {
			continue
		}
		served++
		if perceivedClient(response, headers) == client {
			c.right++
		}
	}
	c.served += served
	return served
}

// served returns the smallest share of requests that a node serves.
func (s *TableStep) served(ctx context.Context, t *trial.Attempt, at map[string]netip.AddrPort, pods string) (float64, error) {
	least := 1.0
	client, err := t.Testbed.AddressOf(s.From, true)
	if err != nil {
		return 0, err
	}
	for _, n := range t.Testbed.LBNodes() {
		report, err := s.get(ctx, t, at[n.Name])
		if err != nil {
			return 0, err
		}
		served := new(seenClients).add(report, client, false)
		least = min(least, ratio(served, s.Count))
		if err := t.Sample("served", "ratio", ratio(served, s.Count), map[string]string{"node": n.Name, "pods": pods}); err != nil {
			return 0, err
		}
	}
	return least, nil
}

// protocols tries raw TCP and UDP, through a node that has a pod.
func (s *TableStep) protocols(ctx context.Context, t *trial.Attempt, e *entrances, informed map[string]netip.AddrPort) error {
	node, err := nodeWithPod(t)
	if err != nil {
		return err
	}
	for _, p := range []struct {
		protocol workload.Protocol
		column   string
		target   netip.AddrPort
	}{{workload.TCP, columnTCP, informed[node]}, {workload.UDP, columnUDP, e.plain[node]}} {
		report, err := workload.Connect(ctx, workload.ConnectOptions{
			Dialer: t.Testbed.Dialer(s.From), Protocol: p.protocol, Target: p.target, Count: s.Count,
			Timeout: time.Duration(s.Timeout),
		})
		if err != nil {
			return err
		}
		answered := ratio(report.Outcomes[workload.OutcomeOK], s.Count)
		if err := errors.Join(
			t.Sample(string(p.protocol)+"_answered", "ratio", answered, nil),
			recordCell(t, p.column, answered, fmt.Sprintf("%.0f %% of requests that are not HTTP are answered (%s)", answered*100, workload.Tally(report.Outcomes))),
		); err != nil {
			return err
		}
	}
	return nil
}

// nodeWithPod returns an LB node with a ready pod: through it, externalTrafficPolicy Local serves too.
func nodeWithPod(t *trial.Attempt) (string, error) {
	for _, p := range t.Testbed.Plan().Pods {
		if isLBNode(t, p.Node) && (len(t.Variant.Pods) == 0 || slices.Contains(t.Variant.Pods, p.Name)) {
			return p.Node, nil
		}
	}
	return "", errors.New("no LB node has a ready pod")
}

func (s *TableStep) get(ctx context.Context, t *trial.Attempt, at netip.AddrPort) (*workload.GetReport, error) {
	return workload.Get(ctx, workload.GetOptions{
		Dialer: t.Testbed.Dialer(s.From), URL: "http://" + at.String() + "/", Count: s.Count,
		Timeout: time.Duration(s.Timeout),
	})
}

// recordCell records a cell of the table: yes, if all of it held.
func recordCell(t *trial.Attempt, column string, share float64, why string) error {
	value := 0.0
	if share == 1 {
		value = 1
	}
	return errors.Join(
		t.Sample("cell", "ratio", value, map[string]string{"column": column}),
		t.Evidence(fmt.Sprintf("%-21s %s: %s", column, map[bool]string{true: "yes", false: "no "}[value == 1], why)),
	)
}

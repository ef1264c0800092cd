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

	"github.com/dsrlab/dsrlab/internal/words"
	"github.com/dsrlab/dsrlab/labs/edge"
	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
)

// EntryStep opens connections and records which LB nodes forwarded them, as reported by our own data path.
// Samples: connected (ratio), lb_nodes_used (nodes), and least_share (ratio): of the flows, those of the LB node that got the
// fewest; where a router has learned the VIP, vip_next_hops (next hops), too.
type EntryStep struct {
	From  string         `json:"from"`
	To    testbed.Target `json:"to"`
	Count int            `json:"count"`
	// Timeout of each connection (default 5s).
	Timeout Duration `json:"timeout,omitempty"`
}

func (s *EntryStep) validate() []error { return checkCount(s.Count) }

func (s *EntryStep) check(n *names.Names) []error { return n.Call(s.From, s.To) }

func (s *EntryStep) measures(*names.Names) []Measurement {
	return Measurements(nil, "connected", "lb_nodes_used", "least_share", "vip_next_hops")
}

func (s *EntryStep) run(ctx context.Context, t *trial.Attempt) error {
	report, observed, err := forwardedCalls(ctx, t, s.From, s.To, workload.ConnectOptions{Count: s.Count, Timeout: time.Duration(s.Timeout)})
	if err != nil {
		return err
	}
	flows := make(map[string]map[netip.AddrPort]bool)
	for _, f := range observed {
		if isLBNode(t, f.Node) {
			if flows[f.Node] == nil {
				flows[f.Node] = make(map[netip.AddrPort]bool)
			}
			flows[f.Node][f.Source.Address] = true
		}
	}
	least, told := s.Count, []string{}
	for _, n := range t.Testbed.LBNodes() {
		least = min(least, len(flows[n.Name]))
	}
	for _, node := range slices.Sorted(maps.Keys(flows)) {
		told = append(told, fmt.Sprintf("%s %d", node, len(flows[node])))
	}
	return errors.Join(
		t.Sample("connected", "ratio", ratio(report.Outcomes[workload.OutcomeOK], s.Count), nil),
		t.Sample("lb_nodes_used", "nodes", float64(len(flows)), nil),
		t.Sample("least_share", "ratio", ratio(least, s.Count), nil),
		sampleNextHops(t),
		t.Evidence("flows of each LB node: "+strings.Join(told, ", ")+trial.DescribeLabels(t.StepLabels())),
	)
}

// sampleNextHops records how many LB nodes the router knows for the VIP; nothing where there is no router.
func sampleNextHops(t *trial.Attempt) error {
	e, err := edge.Of(t.Testbed)
	if err != nil {
		return err
	}
	router, err := edge.Node(t.Testbed, e)
	if err != nil || router == nil {
		return err
	}
	routes, err := edge.VIPRoutes(t.Testbed, router.Name)
	if err != nil {
		return err
	}
	hops := 0
	for _, r := range routes {
		hops += len(r.Via)
	}
	return errors.Join(
		t.Sample("vip_next_hops", "next hops", float64(hops), nil),
		t.Evidence(fmt.Sprintf("%s's routes to VIPs: %s", router.Name, words.List(routes))),
	)
}

// command implements commander.
func (s *EntryStep) command(v testbed.Variant, plan *topologies.Plan) string {
	return request(v, plan, s.From, s.To, workload.TCP)
}

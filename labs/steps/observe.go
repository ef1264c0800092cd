package steps

import (
	"context"
	"net/netip"

	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/observe"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
)

// ObserveStep opens connections and looks for them among the flows that the data path reports, as `dsrlab observe` does.
// Sample: observed_to_overlay (ratio): of the connections, those whose SYN was seen from the client (world) to a pod,
// to-overlay, FORWARDED, and with the DSR option.
type ObserveStep struct {
	From  string         `json:"from"`
	To    testbed.Target `json:"to"`
	Count int            `json:"count"`
}

func (s *ObserveStep) validate() []error { return checkCount(s.Count) }

func (s *ObserveStep) check(n *names.Names) []error { return n.Call(s.From, s.To) }

func (s *ObserveStep) measures(*names.Names) []Measurement {
	return Measurements(nil, "observed_to_overlay")
}

func (s *ObserveStep) run(ctx context.Context, t *trial.Attempt) error {
	_, flows, err := forwardedCalls(ctx, t, s.From, s.To, workload.ConnectOptions{Count: s.Count})
	if err != nil {
		return err
	}
	clients := make(map[netip.AddrPort]bool)
	shown := ""
	for _, f := range flows {
		if f.Source.Identity == "world" && f.Destination.Identity == "pod" && f.Observation == "to-overlay" && f.Option {
			clients[f.Source.Address] = true
			shown = f.String()
		}
	}
	if err := t.Sample("observed_to_overlay", "ratio", ratio(len(clients), s.Count), nil); err != nil || shown == "" {
		return err
	}
	return t.Evidence("observed: " + shown)
}

// forwardedCalls opens TCP connections to a target, and returns what became of them, and the client's flows that data paths report as forwarded
// meanwhile.
func forwardedCalls(ctx context.Context, t *trial.Attempt, from string, target testbed.Target, o workload.ConnectOptions) (*workload.ConnectReport, []observe.Flow, error) {
	var err error
	if o.Target, err = t.Testbed.Target(target, t.Variant); err != nil {
		return nil, nil, err
	}
	observer, err := observe.NewObserver(t.Testbed)
	if err != nil {
		return nil, nil, err
	}
	defer observer.Close()
	observer.Skip() // earlier flows
	o.Dialer, o.Protocol = t.Testbed.Dialer(from), workload.TCP
	report, err := workload.Connect(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	flows, err := observer.Flows(observe.Filter{From: from, Verdict: "forwarded"})
	return report, flows, err
}

// command implements commander.
func (s *ObserveStep) command(testbed.Variant, *topologies.Plan) string { return "sudo dsrlab observe" }

package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/observe"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
)

// TraceStep sends one request and follows each of its packets, and of the answer's, through all nodes (`dsrlab trace`). Only
// our own data path can be traced.
// Samples: traced_answered (ratio), traced_hops (hops), traced_answer_at_lb (hops of the answer at LB nodes).
type TraceStep struct {
	From     string            `json:"from"`
	To       testbed.Target    `json:"to"`
	Protocol workload.Protocol `json:"protocol"`
	// Timeout of the request (default 5s).
	Timeout Duration `json:"timeout,omitempty"`
}

func (s *TraceStep) validate() []error { return checkProtocol(s.Protocol) }

func (s *TraceStep) check(n *names.Names) []error { return n.Call(s.From, s.To) }

func (s *TraceStep) measures(*names.Names) []Measurement {
	return Measurements(one("protocol", string(s.Protocol)), "traced_answered", "traced_hops", "traced_answer_at_lb")
}

func (s *TraceStep) run(ctx context.Context, t *trial.Attempt) error {
	to, err := t.Testbed.Target(s.To, t.Variant)
	if err != nil {
		return err
	}
	report, err := observe.Trace(ctx, t.Testbed, observe.TraceOptions{
		Client: s.From, Frontend: to, Protocol: s.Protocol, Timeout: time.Duration(s.Timeout), Waiting: waitingFor(t),
	})
	if err != nil {
		return err
	}
	answered, atLB := 0.0, 0
	if report.Outcome == string(workload.OutcomeOK) {
		answered = 1
	}
	for _, hop := range report.Hops {
		fromServer := hop.Source.Identity == "pod" || hop.Source.Address == report.Frontend
		if fromServer && isLBNode(t, hop.Node) {
			atLB++
		}
	}
	for i, hop := range report.FirstPackets() {
		if err := t.Evidence(fmt.Sprintf("%d %s, %s: %v → %v (%s)", i+1, hop.Node, hop.Hook, hop.In, hop.Out, hop.Reason)); err != nil {
			return err
		}
	}
	labels := map[string]string{"protocol": string(s.Protocol)}
	return errors.Join(
		t.Sample("traced_answered", "ratio", answered, labels),
		t.Sample("traced_hops", "hops", float64(len(report.Hops)), labels),
		t.Sample("traced_answer_at_lb", "hops", float64(atLB), labels),
	)
}

// waitingFor tells for whom a trial waits: a run is not to fail because someone looks at its testbed.
func waitingFor(t *trial.Attempt) lockfile.Waiting {
	return func(held *lockfile.HeldError) {
		t.Narrator.Notice(fmt.Sprintf("waiting: %s by %s", held.What, held.Holder))
	}
}

// command implements commander.
func (s *TraceStep) command(v testbed.Variant, plan *topologies.Plan) string {
	return request(v, plan, s.From, s.To, s.Protocol)
}

package labs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/dsrlab/dsrlab/labs/expect"
	"github.com/dsrlab/dsrlab/labs/proxies"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
)

// Narrator is told what a lab does while it runs. Calls come one at a time.
type Narrator interface {
	trial.Narrator
	// Begin tells that a lab starts.
	Begin(lab *Lab, plan *topologies.Plan)
	// Built is called when the topology is built, with the addresses that it has where the substrate gave them.
	Built(plan *topologies.Plan)
	// Phase tells that a phase starts, with the number of trials that it will take.
	Phase(p *Phase, trials int)
	// Trial tells which variant runs now, with the labels of its samples.
	Trial(v testbed.Variant, repetition int, labels map[string]string)
	// End tells the outcome.
	End(summary results.Summary)
}

// Runner runs labs.
type Runner struct {
	Testbed testbed.Options
	// Substrate is what labs run on (default: what each topology says).
	Substrate topologies.SubstrateKind
	// Existing is the cluster that labs run on if Substrate is topologies.SubstrateCluster; nothing is built then.
	Existing Substrate
	// RunsDir is where run folders go.
	RunsDir string
	// Repetitions overrides those of every phase; 0 keeps them.
	Repetitions int
	// Scale is what all rates are divided by (default: what the machine carries decides).
	Scale Scale
	// Proxy is what runs where a lab's steps send requests through proxies (default: the ones that are built in).
	Proxy    proxies.Engine
	Narrator Narrator
	Log      *slog.Logger
	// Waiting is called when another process uses the testbed of the lab's topology. Default: the lab is not run then.
	Waiting lockfile.Waiting
}

// Run builds the lab's topology, runs all its phases, records everything and takes the topology down again, whatever
// happens. A trial that the machine disturbed is repeated; if too many are, the run is closed as untested, and another one starts at the
// next smaller scale. The summary is that of the last one, and says how it went; the error, why it couldn't be run at all.
func (r *Runner) Run(ctx context.Context, lab *Lab) (results.Summary, error) {
	for atMost := Scale(1); ; {
		s, err := r.Begin(lab)
		if err != nil {
			return results.Summary{}, err
		}
		s.atMost = atMost
		s.run(ctx)
		summary, err := s.End(ctx) // which knows what went wrong
		if err != nil || s.abandoned == "" {
			return summary, err
		}
		atMost, _ = s.scale.next()
		r.Narrator.Notice(s.abandoned)
	}
}

// run builds the topology and runs all trials, until one fails or too many were disturbed.
func (s *Session) run(ctx context.Context) {
	err := s.Build(ctx)
	retries := newRetries(s.trials)
	for i := 0; i < len(s.trials) && err == nil; {
		began := time.Now()
		_, err = s.Attempt(ctx, i)
		switch retries.after(s.trials[i].group(), s.disturbed != "", time.Since(began)) {
		case goOn:
			i++
		case startOver:
			smaller, ok := s.scale.next()
			if ok && s.runner.Scale == 0 && s.lab.usesRates() && err == nil {
				s.abandoned = fmt.Sprintf("too many trials were disturbed, the last one because %s: the lab starts over with all rates divided by %d",
					s.disturbed, int(smaller))
				return
			}
			i++
		}
	}
}

// planOf plans a lab's topology, on a substrate or, if that is empty, on the one that it names.
func planOf(lab *Lab, substrate topologies.SubstrateKind) (*topologies.Plan, error) {
	topology, err := topologies.Lookup(lab.Spec.Topology)
	if err != nil {
		return nil, fmt.Errorf("plan %s: %w", lab.Metadata.Name, err)
	}
	existing := substrate == topologies.SubstrateCluster // from which no topology is built
	if substrate != "" && !existing {
		topology.Spec.Substrate = substrate
	}
	plan, err := topologies.PlanOf(topology)
	if err != nil {
		return nil, fmt.Errorf("plan %s: %w", lab.Metadata.Name, err)
	}
	if existing {
		plan.Substrate = substrate
	}
	return plan, nil
}

// record starts the run's folder.
func (r *Runner) record(lab *Lab, plan *topologies.Plan) (*results.Recorder, error) {
	document, err := json.Marshal(plan)
	if err != nil {
		return nil, err
	}
	expectations := lab.expectations().On(plan.Substrate)
	m := results.Manifest{
		Lab: lab.Metadata.Name, Substrate: string(plan.Substrate), Seed: lab.Spec.Seed, Claims: expectations.Claims(), Faults: lab.faults(),
		Topology: results.TopologyRef{Name: plan.Name, Hash: plan.Hash, Document: string(document)},
	}
	for _, v := range lab.Spec.Variants {
		m.Variants = append(m.Variants, v.Name)
	}
	for _, p := range lab.Spec.Phases {
		m.Repetitions = max(m.Repetitions, r.repetitions(&p))
	}
	for _, e := range expectations {
		m.Expectations = append(m.Expectations, results.Expectation{
			ID: e.ID, Text: e.Text, Variant: e.Variant, Metric: e.Metric, Labels: e.Labels, Claims: e.Claims, Differs: e.Differs,
			Substrate: string(e.Substrate),
		})
	}
	m.Descriptive = plan.Substrate == topologies.SubstrateCluster && len(m.Expectations) == 0
	return results.Create(results.Config{Dir: r.RunsDir, Manifest: m})
}

// expectations are the lab's.
func (l *Lab) expectations() expect.List { return l.Spec.Expectations }

// Claims are the ids of the claims that the lab checks, on whatever substrate, in the order of its expectations.
func (l *Lab) Claims() []string { return l.expectations().Claims() }

func (r *Runner) repetitions(p *Phase) int {
	if r.Repetitions > 0 {
		return r.Repetitions
	}
	return max(p.Repetitions, 1)
}

package labs

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// Site is where a lab's trials are taken if no topology is built for them: an existing cluster.
type Site interface {
	// Open makes what the trials need, and returns the plan with the addresses that things have there. If it fails nothing is left.
	Open(ctx context.Context, plan *topologies.Plan, n *Notes) (*topologies.Plan, error)
	// Take takes a trial.
	Take(ctx context.Context, t *Trial, n *Notes) error
	// Close takes away what Open made.
	Close(ctx context.Context) error
}

// LackingError says that a site lacks something that a lab needs.
type UnsupportedError struct {
	What string // the site's name included
	How  string // to get it
}

func (e *UnsupportedError) Error() string { return e.What + ": " + e.How }

// KindSite is of events about a site: what is left out there, which machine plays which node.
const KindSite results.EventKind = "site"

// Notes are what a site records and tells.
type Notes struct{ trial *trial }

// Tell records and tells something about the site, under a topic.
func (n *Notes) Tell(topic, message string) error {
	n.trial.runner.Narrator.Evidence(topic, message)
	return n.trial.recorder.AddEvent(KindSite, message, map[string]string{"topic": topic})
}

// Describe adds to the record what the site is.
func (n *Notes) Describe(key string, value any) error { return n.trial.recorder.Describe(key, value) }

// Record records what a step found in a trial: values, and what was seen, in words.
func (n *Notes) Record(s *Step, values []Value, seen ...string) error {
	t := n.trial
	outer := t.stepLabels
	t.stepLabels = s.Labels
	defer func() { t.stepLabels = outer }()
	errs := []error{t.sampleAll(values)}
	for _, message := range seen {
		errs = append(errs, t.evidence(message+describeLabels(s.Labels)))
	}
	return errors.Join(errs...)
}

// Miss records that a value of a step could not be measured, and why.
func (n *Notes) Miss(s *Step, v Value, why error) error {
	n.trial.invalid = why.Error()
	defer func() { n.trial.invalid = "" }()
	v.Value = math.NaN()
	return n.Record(s, []Value{v}, why.Error())
}

// Does says whether a trial's variant does a step of its phase.
func (t *Trial) Does(s *Step) bool { return s.takenBy(t.Variant) }

// open takes hold of the runner's site.
func (s *Session) open(ctx context.Context) error {
	x := &execution{runner: s.runner, lab: s.lab, recorder: s.recorder}
	plan, err := s.runner.Site.Open(ctx, s.plan, &Notes{&trial{execution: x}})
	if err != nil {
		return fmt.Errorf("open the site: %w", err)
	}
	s.plan = plan
	s.runner.Narrator.Built(plan)
	if err := s.recorder.Describe("variants", s.lab.Spec.Variants); err != nil {
		return errors.Join(err, s.runner.Site.Close(context.WithoutCancel(ctx)))
	}
	s.x = x
	return nil
}

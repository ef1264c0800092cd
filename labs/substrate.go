package labs

import (
	"context"
	"errors"
	"math"

	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// Substrate is where the trials of one run take place: on a testbed that is built for them, of network namespaces or as a kind cluster
// (onTestbed), or on a cluster that exists already (package cluster). Calls come one at a time.
type Substrate interface {
	// Open makes what the trials need, and calls r.Built as soon as it is known which addresses things have. If it fails nothing is left,
	// and it may be called again.
	Open(ctx context.Context, r *Report) error
	// Run runs a trial once.
	Run(ctx context.Context, t *Trial, r *Report) error
	// Close removes what Open made.
	Close(ctx context.Context) error
}

// UnsupportedError is returned by a substrate that lacks something that a lab needs.
type UnsupportedError struct {
	What string // the substrate's name included
	How  string // to get it
}

func (e *UnsupportedError) Error() string { return e.What + ": " + e.How }

// KindSubstrate is of events about a substrate: what is left out there, which of its nodes stands for which of the topology's. Recorded
// runs have it as "site".
const KindSubstrate results.EventKind = "site"

// Report is what a substrate records and tells, of the run or of the trial that it is handed out for.
type Report struct {
	session *Session
	trial   *trial.Attempt
}

// Built tells that the topology is there, with the addresses that things have.
func (r *Report) Built(plan *topologies.Plan) {
	r.session.plan = plan
	r.session.runner.Narrator.Built(plan)
}

// Tell records and tells something about the substrate, under a topic.
func (r *Report) Tell(topic, message string) error {
	r.session.runner.Narrator.Evidence(topic, message)
	return r.session.recorder.AddEvent(KindSubstrate, message, map[string]string{"topic": topic})
}

// Describe adds to the record what the substrate is.
func (r *Report) Describe(key string, value any) error {
	return r.session.recorder.Describe(key, value)
}

// Record records what a step found in a trial: values, and what was seen, in words.
func (r *Report) Record(s *steps.Step, values []trial.Value, seen ...string) error {
	return r.trial.WithLabels(s.Labels, func() error {
		errs := []error{r.trial.Record(values)}
		for _, message := range seen {
			errs = append(errs, r.trial.Evidence(message+trial.DescribeLabels(s.Labels)))
		}
		return errors.Join(errs...)
	})
}

// Miss records that a value of a step could not be measured, and why.
func (r *Report) Miss(s *steps.Step, v trial.Value, why error) error {
	v.Value = math.NaN()
	return r.trial.Invalidate(why.Error(), func() error { return r.Record(s, []trial.Value{v}, why.Error()) })
}

// Disturbed records that something outside of the lab disturbed the trial: it does not count, and is repeated if there is time.
func (r *Report) Disturbed(why string) { r.trial.Disturb(why) }

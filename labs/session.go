package labs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// Trial is one execution of a phase under one variant, in one repetition and under one value of its sweep: the smallest part of a lab that is run
// alone.
type Trial struct {
	Phase      *Phase
	Variant    testbed.Variant
	Repetition int
	// Labels of the sweep.
	Labels map[string]string

	value setting
}

// Trials are all trials of a phase: for each value of the sweep, for each repetition, each variant.
func (p *Phase) Trials(lab *Lab, plan *topologies.Plan, repetitions int) []Trial {
	var all []Trial
	for _, value := range p.Sweep.settings() {
		for repetition := range repetitions {
			for _, v := range lab.variants(p) {
				all = append(all, Trial{
					Phase: p, Variant: value.variant(v, plan), Repetition: repetition, Labels: value.labels, value: value,
				})
			}
		}
	}
	return all
}

// variants are those of the lab that take part in a phase.
func (l *Lab) variants(p *Phase) []testbed.Variant {
	if len(p.Variants) == 0 {
		return l.Spec.Variants
	}
	return slices.DeleteFunc(slices.Clone(l.Spec.Variants), func(v testbed.Variant) bool { return !slices.Contains(p.Variants, v.Name) })
}

// Session is one run of a lab, trial by trial: Begin, Build, Attempt for each trial, End. Calls come one at a time.
type Session struct {
	runner *Runner
	lab    *Lab
	// planned is the topology as it was planned; plan, once it is built, with the addresses that it has.
	planned, plan *topologies.Plan
	recorder      *results.Recorder
	trials        []Trial
	shared        *trial.Run
	substrate     Substrate
	open          bool // the substrate was opened
	// errs are what went wrong in a trial that was not taken again since; buildErr, why nothing is built.
	errs     map[int]error
	buildErr error
	attempts map[int]int
	told     *Phase
	// scale of the run, 0 until it is chosen; atMost is the largest that it may choose.
	scale, atMost Scale
	// disturbed is why the last trial does not count and is worth another attempt; empty if it isn't.
	disturbed string
	// abandoned is why the run ends before its end, to start over at a smaller scale.
	abandoned string
}

// Begin plans a lab and starts its record. Nothing is built yet; End must be called all the same.
func (r *Runner) Begin(lab *Lab) (*Session, error) {
	plan, err := planOf(lab, r.Substrate)
	if err != nil {
		return nil, err
	}
	if plan.Substrate == topologies.SubstrateCluster && r.Existing == nil {
		return nil, fmt.Errorf("run %s: no existing cluster to run it on", lab.Metadata.Name)
	}
	r.Narrator.Begin(lab, plan)
	recorder, err := r.record(lab, plan)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", lab.Metadata.Name, err)
	}
	s := &Session{
		runner: r, lab: lab, planned: plan, plan: plan, recorder: recorder, errs: make(map[int]error), attempts: make(map[int]int),
		shared: &trial.Run{
			Seed: lab.Spec.Seed, Proxy: r.engine(), FirstVariant: lab.Spec.Variants[0].Name, Recorder: recorder, Narrator: r.Narrator,
		},
	}
	s.substrate = r.Existing
	if plan.Substrate != topologies.SubstrateCluster {
		s.substrate = &onTestbed{session: s}
	}
	for i := range lab.Spec.Phases {
		p := &lab.Spec.Phases[i]
		s.trials = append(s.trials, p.Trials(lab, plan, r.repetitions(p))...)
	}
	return s, nil
}

// Trials are all trials of the lab, in order.
func (s *Session) Trials() []Trial { return s.trials }

// Plan is the topology that Build builds and, once it is built, with the addresses that it has.
func (s *Session) Plan() *topologies.Plan { return s.plan }

// Build opens the substrate: it builds the topology on a testbed of its own, or makes what an existing cluster needs. If it fails
// nothing is left, and it may be tried again.
func (s *Session) Build(ctx context.Context) error {
	if s.open {
		return nil
	}
	s.buildErr = s.build(ctx)
	s.open = s.buildErr == nil
	if cause := interruption(ctx); s.buildErr != nil && cause != nil {
		s.buildErr = &stoppedError{cause}
	}
	return s.buildErr
}

func (s *Session) build(ctx context.Context) error {
	if err := s.substrate.Open(ctx, &Report{s, &trial.Attempt{Run: s.shared}}); err != nil {
		return err
	}
	if err := s.recorder.Describe("variants", s.lab.Spec.Variants); err != nil {
		return errors.Join(err, s.substrate.Close(context.WithoutCancel(ctx)))
	}
	return nil
}

// Attempt runs trial i, and returns what it sampled. A trial may be run again: what it sampled before counts, too. When ctx ends
// the trial is stopped, and what it still samples does not count.
func (s *Session) Attempt(ctx context.Context, i int) ([]results.Sample, error) {
	if !s.open {
		return nil, errors.New("the topology is not built")
	}
	s.attempts[i]++
	samples, err := s.attempt(ctx, i)
	switch cause := interruption(ctx); {
	case cause != nil: // nothing that was cut short is a success
		err = &stoppedError{cause}
	case err == nil:
		err = ctx.Err()
	}
	if delete(s.errs, i); err != nil {
		s.errs[i] = err
		data := s.trials[i].Data()
		data.Error = err.Error()
		return samples, errors.Join(err, s.recorder.AddEvent(results.EventStep, data.Phase, data))
	}
	return samples, nil
}

func (s *Session) attempt(ctx context.Context, i int) ([]results.Sample, error) {
	planned := &s.trials[i]
	if s.told != planned.Phase {
		s.told = planned.Phase
		s.runner.Narrator.Phase(planned.Phase, s.trialsOf(planned.Phase))
		if err := s.recorder.AddEvent(results.EventNarration, planned.Phase.Narration, nil); err != nil {
			return nil, err
		}
	}
	if err := s.recorder.AddEvent(results.EventStep, planned.Phase.Name, planned.Data()); err != nil {
		return nil, err
	}
	t := &trial.Attempt{
		Run: s.shared, Phase: planned.Phase.Name, Variant: planned.Variant, Repetition: planned.Repetition, Labels: planned.Labels,
		Number: s.attempts[i], Stopped: func() error { return cmp.Or(interruption(ctx), context.Cause(ctx)) },
	}
	s.runner.Narrator.Trial(t.Variant, t.Repetition, t.Labels)
	err := s.substrate.Run(ctx, planned, &Report{s, t})
	s.disturbed = t.Disturbed()
	if err != nil {
		err = fmt.Errorf("phase %s: variant %s: %w", planned.Phase.Name, planned.Variant.Name, err)
	}
	return t.Sampled(), err
}

// Does reports whether the trial's variant does a step of its phase.
func (t *Trial) Does(s *steps.Step) bool { return s.TakenBy(t.Variant) }

// Data is what the record of a run says of the trial when it begins.
func (t *Trial) Data() TrialData {
	return TrialData{Phase: t.Phase.Name, Variant: t.Variant.Name, Repetition: t.Repetition, Labels: t.Labels}
}

// TrialData is the data of the event of kind step that begins each trial, and of another that ends it if it fails.
type TrialData struct {
	Phase      string            `json:"phase"`
	Variant    string            `json:"variant"`
	Repetition int               `json:"repetition"`
	Labels     map[string]string `json:"labels,omitempty"`
	// Error is why the trial failed.
	Error string `json:"error,omitempty"`
}

func (s *Session) trialsOf(p *Phase) int {
	n := 0
	for i := range s.trials {
		if s.trials[i].Phase == p {
			n++
		}
	}
	return n
}

// End takes the topology down, also if ctx has ended, judges what is expected if no trial was left out, and closes the record. The
// summary says how it went; the error, that it can't be said.
func (s *Session) End(ctx context.Context) (results.Summary, error) {
	errs := []error{s.buildErr}
	for i := range s.trials {
		errs = append(errs, s.errs[i])
	}
	errs, stopped := withoutStops(errs)
	stopped = cmp.Or(interruption(ctx), stopped)
	if s.open {
		errs = append(errs, s.substrate.Close(context.WithoutCancel(ctx)))
		s.open = false
	}
	if stopped == nil && len(s.attempts) < len(s.trials) {
		stopped = errors.New("it was ended")
	}
	if stopped == nil && s.abandoned == "" {
		errs = append(errs, judgeRun(s.lab, s.recorder))
	} else {
		s.recorder.Interrupt()
	}
	err := errors.Join(errs...)
	result, reason := results.Passed, ""
	switch {
	case isUnsupported(err):
		result, reason = results.Unsupported, err.Error()
	case err != nil:
		result, reason = results.Failed, err.Error()
	case s.abandoned != "":
		result, reason = results.Untested, s.abandoned
	case stopped != nil:
		result, reason = results.Untested, s.endedEarly(stopped)
	}
	summary, closeErr := s.recorder.Close(result, reason)
	if closeErr != nil {
		return summary, errors.Join(err, closeErr)
	}
	s.runner.Narrator.End(summary)
	return summary, nil
}

package labs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dsrlab/dsrlab/labs/proxies"
	"github.com/dsrlab/dsrlab/labs/stand"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// Turn is one variant's turn in one repetition of a phase, under one value of its sweep: the smallest part of a lab that is run
// alone.
type Turn struct {
	Phase      *Phase
	Variant    stand.Variant
	Repetition int
	// Labels of the sweep.
	Labels map[string]string

	value setting
}

// Turns are all turns of a phase: for each value of the sweep, for each repetition, each variant.
func (p *Phase) Turns(lab *Lab, plan *topologies.Plan, repetitions int) []Turn {
	var all []Turn
	for _, value := range p.Sweep.settings() {
		for repetition := range repetitions {
			for _, v := range lab.variants(p) {
				all = append(all, Turn{
					Phase: p, Variant: value.variant(v, plan), Repetition: repetition, Labels: value.labels, value: value,
				})
			}
		}
	}
	return all
}

// variants are those of the lab that take part in a phase.
func (l *Lab) variants(p *Phase) []stand.Variant {
	if len(p.Variants) == 0 {
		return l.Spec.Variants
	}
	return slices.DeleteFunc(slices.Clone(l.Spec.Variants), func(v stand.Variant) bool { return !slices.Contains(p.Variants, v.Name) })
}

// Session is one run of a lab, turn by turn: Begin, Build, Take for each turn, End. Calls come one at a time.
type Session struct {
	runner *Runner
	lab    *Lab
	// planned is the topology as it was planned; plan, once it stands, with the addresses that it has.
	planned, plan *topologies.Plan
	recorder      *results.Recorder
	turns         []Turn
	// x is nil until the topology stands.
	x *execution
	// errs are what went wrong in a turn that was not taken again since; buildErr, why nothing stands.
	errs     map[int]error
	buildErr error
	takes    map[int]int
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
	if r.Site != nil {
		plan.Substrate = topologies.SubstrateCluster
	}
	r.Narrator.Begin(lab, plan)
	recorder, err := r.record(lab, plan)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", lab.Metadata.Name, err)
	}
	s := &Session{runner: r, lab: lab, planned: plan, plan: plan, recorder: recorder, errs: make(map[int]error), takes: make(map[int]int)}
	for i := range lab.Spec.Phases {
		p := &lab.Spec.Phases[i]
		s.turns = append(s.turns, p.Turns(lab, plan, r.repetitions(p))...)
	}
	return s, nil
}

// Turns are all turns of the lab, in order.
func (s *Session) Turns() []Turn { return s.turns }

// Plan is the topology that Build builds and, once it stands, with the addresses that it has.
func (s *Session) Plan() *topologies.Plan { return s.plan }

// Build builds the topology on a stand of its own, and calibrates its links. If it fails nothing is left, and it may be tried
// again.
func (s *Session) Build(ctx context.Context) error {
	if s.x != nil {
		return nil
	}
	s.buildErr = s.build(ctx)
	return s.buildErr
}

func (s *Session) build(ctx context.Context) error {
	if s.runner.Site != nil {
		return s.open(ctx)
	}
	proxied, err := s.runner.checkProxies(s.lab)
	if err != nil {
		return err
	}
	for _, v := range s.lab.Spec.Variants {
		if err := stand.Check(s.planned, v); err != nil {
			return fmt.Errorf("variant %s: %w", v.Name, err)
		}
	}
	restore, how := prioritize()
	defer func() {
		if s.x == nil {
			restore()
		}
	}()
	options := s.runner.Stand
	options.Name = "lab-" + s.plan.Name
	options.Recreate = true
	built, _, err := stand.Up(ctx, s.planned, options)
	if err != nil {
		return err
	}
	s.plan = built.Plan()
	s.runner.Narrator.Stands(s.plan)
	x := &execution{runner: s.runner, lab: s.lab, stand: built, recorder: s.recorder, plan: s.plan, restorePriority: restore}
	err = errors.Join(s.recorder.Describe("variants", s.lab.Spec.Variants), s.recorder.Describe("scheduled", how))
	if proxied {
		err = errors.Join(err, s.recorder.Describe("proxy", proxies.Version(s.runner.engine())))
	}
	if err == nil {
		err = s.fitToMachine(ctx, x)
	}
	if err != nil {
		return errors.Join(err, built.Down(context.WithoutCancel(ctx)))
	}
	s.x = x
	return nil
}

// Take takes turn i, and returns what it sampled. A turn may be taken again: what it sampled before counts, too. When ctx ends
// the turn is stopped, and what it still samples does not count.
func (s *Session) Take(ctx context.Context, i int) ([]results.Sample, error) {
	if s.x == nil {
		return nil, errors.New("the topology does not stand")
	}
	s.takes[i]++
	samples, err := s.take(ctx, i)
	if err == nil {
		err = ctx.Err() // nothing that was cut short is a success
	}
	if delete(s.errs, i); err != nil {
		s.errs[i] = err
		data := s.turns[i].data()
		data.Error = err.Error()
		return samples, errors.Join(err, s.recorder.AddEvent(results.KindStep, data.Phase, data))
	}
	return samples, nil
}

func (s *Session) take(ctx context.Context, i int) ([]results.Sample, error) {
	planned := &s.turns[i]
	if s.told != planned.Phase {
		s.told = planned.Phase
		s.runner.Narrator.Phase(planned.Phase, s.turnsOf(planned.Phase))
		if err := s.recorder.AddEvent(results.KindNarration, planned.Phase.Narration, nil); err != nil {
			return nil, err
		}
	}
	if err := s.recorder.AddEvent(results.KindStep, planned.Phase.Name, planned.data()); err != nil {
		return nil, err
	}
	t := &turn{
		execution: s.x, planned: planned, phase: planned.Phase, variant: planned.Variant, repetition: planned.Repetition, labels: planned.Labels,
		value: planned.value, take: s.takes[i], stopped: ctx.Err,
	}
	if err := s.x.recalibrate(ctx); err != nil {
		return nil, fmt.Errorf("calibrate again: %w", err)
	}
	err := t.reshaped(func() error { return t.run(ctx) })
	s.disturbed = t.disturbed
	if err != nil {
		err = fmt.Errorf("phase %s: variant %s: %w", planned.Phase.Name, planned.Variant.Name, err)
	}
	return t.sampled, err
}

// data is what the record of a run says of a turn when it begins.
func (t *Turn) data() TurnData {
	return TurnData{Phase: t.Phase.Name, Variant: t.Variant.Name, Repetition: t.Repetition, Labels: t.Labels}
}

// TurnData is the data of the event of kind step that begins each turn, and of another that ends it if it fails.
type TurnData struct {
	Phase      string            `json:"phase"`
	Variant    string            `json:"variant"`
	Repetition int               `json:"repetition"`
	Labels     map[string]string `json:"labels,omitempty"`
	// Error is why the turn failed.
	Error string `json:"error,omitempty"`
}

func (s *Session) turnsOf(p *Phase) int {
	n := 0
	for i := range s.turns {
		if s.turns[i].Phase == p {
			n++
		}
	}
	return n
}

// End takes the topology down, judges what is expected if no turn was left out, and closes the record. The summary says how
// it went; the error, that it can't be said.
func (s *Session) End(ctx context.Context) (results.Summary, error) {
	errs := []error{s.buildErr}
	for i := range s.turns {
		errs = append(errs, s.errs[i])
	}
	if s.x != nil {
		errs = append(errs, s.x.down(context.WithoutCancel(ctx)))
		s.x = nil
	}
	if len(s.takes) == len(s.turns) && s.abandoned == "" {
		errs = append(errs, judgeRun(s.lab, s.recorder))
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
	case len(s.takes) < len(s.turns):
		result, reason = results.Untested, fmt.Sprintf("it was ended after %d of %d turns", len(s.takes), len(s.turns))
	}
	summary, closeErr := s.recorder.Close(result, reason)
	if closeErr != nil {
		return summary, errors.Join(err, closeErr)
	}
	s.runner.Narrator.End(summary)
	return summary, nil
}

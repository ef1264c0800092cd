package present

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// Live is a show that runs a lab.
type Live struct {
	lab     *labs.Lab
	session *labs.Session
	trials  []labs.TrialData
	steps   []step
	// timeout of a trial; 0: none.
	timeout time.Duration
	to      Reporter
	summary results.Summary
}

// NewLive starts a run of a lab. Nothing is built before the first step. It replaces the runner's narrator.
func NewLive(runner labs.Runner, lab *labs.Lab, timeout time.Duration) (*Live, error) {
	l := &Live{lab: lab, timeout: timeout}
	runner.Narrator = stage{l}
	session, err := runner.Begin(lab)
	if err != nil {
		return nil, err
	}
	l.session = session
	for _, t := range session.Trials() {
		l.trials = append(l.trials, t.Data())
	}
	l.steps = stepsOf(l.trials)
	return l, nil
}

// Lab implements Source.
func (l *Live) Lab() *labs.Lab { return l.lab }

// Screens implements Source: the topology comes first, then a screen for each variant in each phase.
func (l *Live) Screens() []Screen {
	shown := openingOf(l.lab.Spec.Topology)
	all := []Screen{{
		Title: l.lab.Metadata.Name + ": " + l.lab.Metadata.Title, Narration: l.lab.Spec.Question, Command: shown.command, Output: shown.output,
	}}
	for _, s := range l.steps {
		trial := l.session.Trials()[s.trials[0]]
		all = append(all, Screen{
			Title: s.title(), Phase: s.phase, Variant: s.variant, Swept: s.swept, Narration: trial.Phase.Narration, ByHand: trial.Commands(l.lab, l.session.Plan()),
		})
	}
	return all
}

// Run implements Source. The first trial that fails ends the step.
func (l *Live) Run(ctx context.Context, step int, to Reporter) error {
	l.to = to
	if step == 0 {
		return l.within(ctx, func(ctx context.Context) error { return l.session.Build(ctx) })
	}
	trials := l.steps[step-1].trials
	for n, i := range trials {
		to.Trial(which(l.trials[i], n, len(trials)))
		err := l.within(ctx, func(ctx context.Context) error {
			samples, err := l.session.Attempt(ctx, i)
			to.Measured(samples)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// within bounds the time of what a step does.
func (l *Live) within(ctx context.Context, do func(context.Context) error) error {
	if l.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, l.timeout, fmt.Errorf("it took longer than %v", l.timeout))
		defer cancel()
	}
	err := do(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// End implements Source: it removes the network.
func (l *Live) End(ctx context.Context) (results.Summary, error) {
	summary, err := l.session.End(ctx)
	l.summary = summary
	return summary, err
}

// Summary returns the result of the run, once the show has ended.
func (l *Live) Summary() results.Summary { return l.summary }

// Note implements Source.
func (l *Live) Note() string { return "" }

// Immediate implements Source.
func (l *Live) Immediate() bool { return false }

// stage is the Narrator of a Live.
type stage struct{ *Live }

func (stage) Begin(*labs.Lab, *topologies.Plan)             {}
func (stage) Built(*topologies.Plan)                        {}
func (s stage) Notice(message string)                       { s.to.Tell(message) }
func (stage) Phase(*labs.Phase, int)                        {}
func (stage) Trial(testbed.Variant, int, map[string]string) {}
func (s stage) Rate(bitsPerSecond float64)                  { s.to.Rate(bitsPerSecond) }
func (s stage) Evidence(_, message string)                  { s.to.Tell(message) }
func (stage) End(results.Summary)                           {}

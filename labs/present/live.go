package present

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// Live is a show that runs a lab.
type Live struct {
	lab     *labs.Lab
	session *labs.Session
	// timeout of a step; 0: none.
	timeout time.Duration
	tell    func(string)
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
	return l, nil
}

// Screens implements Source: the topology comes first, then a screen for each trial.
func (l *Live) Screens() []Screen {
	build := Screen{Title: l.lab.Metadata.Name + ": " + l.lab.Metadata.Title, Narration: l.lab.Spec.Question}
	build.Commands = []string{"dsrlab topology show " + l.lab.Spec.Topology}
	all := []Screen{build}
	for _, trial := range l.session.Trials() {
		title := trial.Phase.Name + " · " + trial.Variant.Name
		if labels := results.FormatLabels(trial.Labels); labels != "" {
			title += " · " + labels
		}
		if trial.Repetition > 0 {
			title += fmt.Sprintf(" · repetition %d", trial.Repetition+1)
		}
		all = append(all, Screen{Title: title, Narration: trial.Phase.Narration, Commands: trial.Commands(l.lab, l.session.Plan())})
	}
	return all
}

// Run implements Source.
func (l *Live) Run(ctx context.Context, step int, tell func(string)) error {
	l.tell = tell
	if l.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, l.timeout, fmt.Errorf("it took longer than %v", l.timeout))
		defer cancel()
	}
	err := l.run(ctx, step)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

func (l *Live) run(ctx context.Context, step int) error {
	if step == 0 {
		if err := l.session.Build(ctx); err != nil {
			return err
		}
		for _, n := range l.session.Plan().Nodes {
			l.tell(fmt.Sprintf("%-10s %-7s %v", n.Name, n.Role, n.Addresses[0].Addr()))
		}
		return nil
	}
	_, err := l.session.Attempt(ctx, step-1)
	return err
}

// End implements Source: it removes the network.
func (l *Live) End(ctx context.Context) ([]string, error) {
	summary, err := l.session.End(ctx)
	l.summary = summary
	return lastWords(summary), err
}

// Summary returns the result of the run, once the show has ended.
func (l *Live) Summary() results.Summary { return l.summary }

// Note implements Source.
func (l *Live) Note() string { return "" }

// lastWords formats a run's verdicts.
func lastWords(s results.Summary) []string {
	words := []string{fmt.Sprintf("%s: %s", s.Lab, s.Result)}
	words = append(words, s.Reasons...)
	var b bytes.Buffer
	// They are formatted once, for any later size of the screen.
	if err := labs.Verdicts(terminal.Fixed{Writer: &b, Width: terminal.ProseColumns}, []results.Summary{s}, labs.VerdictOptions{}); err != nil {
		return append(words, err.Error())
	}
	return append(words, strings.Split(strings.TrimRight(b.String(), "\n"), "\n")...)
}

// stage is the Narrator of a Live.
type stage struct{ *Live }

func (stage) Begin(*labs.Lab, *topologies.Plan)             {}
func (stage) Built(*topologies.Plan)                        {}
func (s stage) Notice(message string)                       { s.tell(message) }
func (stage) Phase(*labs.Phase, int)                        {}
func (stage) Trial(testbed.Variant, int, map[string]string) {}
func (stage) Doing(string)                                  {}
func (s stage) Evidence(_, message string)                  { s.tell(message) }
func (stage) End(results.Summary)                           {}

package ui

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/lockfile"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// LabOptions say how the page runs labs.
type LabOptions struct {
	// RunsDir is where their runs go.
	RunsDir string
	// Refused is why none can be run; nil: they can.
	Refused error
	// LabPod is the file of labpod (default: beside this program).
	LabPod string
	// Log is where warnings of building go (default: nowhere).
	Log *slog.Logger
}

// LabChoice is a lab of the catalogue.
type LabChoice struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Why says why it can't be run from here; empty: it can.
	Why string `json:"why,omitempty"`
}

// LabState is how far a lab is that the page has started.
type LabState struct {
	Name     string `json:"name,omitempty"` // empty: none was started
	Title    string `json:"title,omitempty"`
	Question string `json:"question,omitempty"`
	Running  bool   `json:"running"`
	Phase    string `json:"phase,omitempty"`
	// Trial of Trials is the one of the phase that runs, What it is in words.
	Trial  int    `json:"trial"`
	Trials int    `json:"trials"`
	What   string `json:"what,omitempty"`
	// Rate of the transfer that runs, in bit/s.
	Rate   float64        `json:"rate"`
	Result results.Result `json:"result,omitempty"`
}

// Line is a line of a lab's story.
type Line struct {
	// Kind is phase, notice, evidence, expectation, claim or result.
	Kind string `json:"kind"`
	// Name is that of the phase, variant or claim.
	Name string `json:"name,omitempty"`
	// Outcome is that of an expectation, the verdict on a claim, or the run's result.
	Outcome string `json:"outcome,omitempty"`
	Text    string `json:"text"`
}

// keptLines of a story are sent to the page: several times what the longest lab tells.
const keptLines = 300

// Story is what a lab has told.
type Story struct {
	// Number counts the labs that were started.
	Number int
	// Added is how many lines there were; Lines are the newest, at most keptLines, the oldest first.
	Added uint64
	Lines []Line
}

// labRun is the lab that the page has started last.
type labRun struct {
	mu     sync.Mutex
	state  LabState
	story  Story
	cancel context.CancelCauseFunc // nil while none runs
	done   chan struct{}           // closed when the last one has ended; nil: there was none
	closed bool
}

// start starts a lab. It returns ErrBusy while one runs. release is called when the lab has ended, also if it is not started.
func (r *labRun) start(lab *labs.Lab, release func(), run func(context.Context, labs.Narrator) (results.Summary, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil || r.closed {
		release()
		return fmt.Errorf("%w: lab %s runs", ErrBusy, r.state.Name)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	r.cancel, r.done = cancel, make(chan struct{})
	r.state = LabState{Name: lab.Metadata.Name, Title: lab.Metadata.Title, Question: lab.Spec.Question, Running: true}
	r.story = Story{Number: r.story.Number + 1}
	go func() {
		defer close(r.done)
		_, err := run(ctx, &narrator{run: r})
		cancel(nil)
		release()
		r.end(err)
	}()
	return nil
}

// end notes that the lab has ended. err is why it could not be run.
func (r *labRun) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancel = nil
	r.state.Running, r.state.Rate, r.state.What = false, 0, ""
	if err != nil {
		r.state.Result = results.Failed
		r.add(Line{Kind: "result", Outcome: "not run", Text: err.Error()})
	}
}

// stop interrupts the lab, if one runs, and doesn't wait for its end.
func (r *labRun) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil {
		r.cancel(labs.ErrInterrupted)
		r.state.What = "stops, and takes its testbed down"
	}
}

// close interrupts the lab, waits until it has taken its testbed down, and lets no other one start.
func (r *labRun) close() {
	r.stop()
	r.mu.Lock()
	r.closed = true
	done := r.done
	r.mu.Unlock()
	if done != nil {
		<-done
	}
}

// add adds a line. The caller holds the lock.
func (r *labRun) add(l Line) {
	r.story.Added++
	r.story.Lines = append(r.story.Lines, l)
	if more := len(r.story.Lines) - keptLines; more > 0 {
		r.story.Lines = slices.Clone(r.story.Lines[more:])
	}
}

// now returns copies.
func (r *labRun) now() (LabState, Story) {
	r.mu.Lock()
	defer r.mu.Unlock()
	story := r.story
	story.Lines = slices.Clone(story.Lines)
	return r.state, story
}

// labChoices are the labs of the catalogue. One builds its testbed anew, and can't do so with the one that the page shows.
func labChoices(shown string, refused error) ([]LabChoice, error) {
	names, err := labs.Catalogue()
	if err != nil {
		return nil, err
	}
	all := []LabChoice{}
	for _, name := range names {
		lab, err := labs.Lookup(name)
		if err != nil {
			return nil, err
		}
		choice := LabChoice{Name: name, Title: lab.Metadata.Title}
		topology, err := topologies.Lookup(lab.Spec.Topology)
		switch {
		case err != nil:
			return nil, err
		case refused != nil:
			choice.Why = refused.Error()
		case labs.TestbedName(topology.Metadata.Name) == shown:
			choice.Why = fmt.Sprintf("it builds testbed %s anew, which this page shows", shown)
		}
		all = append(all, choice)
	}
	return all, nil
}

// Labs are the labs of the catalogue.
func (l *Live) Labs() ([]LabChoice, error) { return labChoices(l.Name(), l.labs.Refused) }

// RunLab starts a lab on a testbed of its own, beside the one that the page shows. It has the machine for itself, as what measures has.
func (l *Live) RunLab(ctx context.Context, name string) error {
	choices, err := l.Labs()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(choices, func(c LabChoice) bool { return c.Name == name })
	if i < 0 {
		return refuse("lab: unknown lab %q", name)
	}
	if choices[i].Why != "" {
		return refuse("lab %s: %s", name, choices[i].Why)
	}
	lab, err := labs.Lookup(name)
	if err != nil {
		return err
	}
	release, err := netns.AcquireMachine(ctx, nil)
	if held := (*lockfile.HeldError)(nil); errors.As(err, &held) {
		return fmt.Errorf("%w: %w", ErrBusy, held)
	}
	if err != nil {
		return err
	}
	return l.lab.start(lab, release, func(ctx context.Context, n labs.Narrator) (results.Summary, error) {
		runner := &labs.Runner{
			Testbed: testbed.Options{StateDir: l.tb.Network().StateDir(), LabPod: l.labs.LabPod, Log: l.labs.Log},
			RunsDir: l.labs.RunsDir, Narrator: n,
		}
		return runner.Run(ctx, lab)
	})
}

// StopLab interrupts the lab that runs. It is recorded as interrupted, and takes its testbed down.
func (l *Live) StopLab() { l.lab.stop() }

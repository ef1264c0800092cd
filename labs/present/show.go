// Package present shows a lab on stage, step by step on key presses: narration, figures, evidence, and the commands that show the same
// by hand. A show is live or replays a recorded run.
package present

import (
	"context"
	"io"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
)

// Screen is one step of a show: the opening, or a variant in a phase of the lab.
type Screen struct {
	Title     string
	Narration string
	// Phase and Variant are empty for the opening.
	Phase, Variant string
	// Swept are the labels whose values the step's trials go through.
	Swept []string
	// Command is one whose Output is shown below it; for the opening only.
	Command string
	Output  func(io.Writer)
	// ByHand are commands that show the same by hand.
	ByHand []string
	// Evidence is what was seen when the step ran, and Samples what was measured.
	Evidence []string
	Samples  []results.Sample
	// Failed is why the step failed; empty if it did not.
	Failed string
	State  State
	// Trial says which of several trials runs now; Rate is that of a transfer in bit/s while one runs, NaN otherwise.
	Trial string
	Rate  float64
}

// State is the state of a step.
type State int

// The states, in their order.
const (
	Announced State = iota // announced, and not run yet
	Running
	Shown
)

// Reporter takes what a step tells while it runs.
type Reporter interface {
	// Trial tells that another of the step's trials begins.
	Trial(which string)
	// Tell tells a line of evidence.
	Tell(line string)
	// Rate tells the rate of a running transfer in bit/s; NaN when none runs any more.
	Rate(bitsPerSecond float64)
	// Measured tells what was measured.
	Measured(samples []results.Sample)
}

// Source provides the content of a show.
type Source interface {
	// Lab is the lab that is shown; nil if it is not known.
	Lab() *labs.Lab
	// Screens returns all steps as announced.
	Screens() []Screen
	// Run runs a step.
	Run(ctx context.Context, step int, r Reporter) error
	// End ends the show, also if ctx has ended, and returns its result. It must be called at most once.
	End(ctx context.Context) (results.Summary, error)
	// Note is shown on every screen; empty for a live show.
	Note() string
	// Immediate reports whether steps run as soon as they are on the screen: there is nothing to wait for.
	Immediate() bool
}

// Show is the state of a show. It is pure: the caller executes the acts that its methods return.
type Show struct {
	screens   []Screen
	immediate bool
	at        int
	// skipping is set while a step is stopped in order to go on.
	skipping bool
	// ending is set once the source was told to end; summary, once it has.
	ending  bool
	summary *results.Summary
}

// Act is what the caller has to do after a key press.
type Act int

// The acts.
const (
	Nothing  Act = iota
	RunStep      // run the step that is shown
	StopStep     // stop the step that runs
	EndShow      // end the source and show its result
)

func newShow(screens []Screen, immediate bool) *Show {
	return &Show{screens: screens, immediate: immediate}
}

// Screen returns the current screen.
func (s *Show) Screen() *Screen { return &s.screens[s.at] }

// Next runs an announced step, or moves on from a shown one to the next.
func (s *Show) Next() Act {
	switch s.Screen().State {
	case Running:
		return Nothing
	case Announced:
		return s.Again()
	}
	return s.forward()
}

// forward moves on to the next screen, or to the end.
func (s *Show) forward() Act {
	if s.at == len(s.screens)-1 {
		if s.ending {
			return Nothing
		}
		s.ending = true
		return EndShow
	}
	s.at++
	if s.immediate && s.Screen().State == Announced {
		return s.Again()
	}
	return Nothing
}

// Back shows the previous step, as it was.
func (s *Show) Back() {
	if s.Screen().State != Running && !s.ending && s.at > 0 {
		s.at--
	}
}

// Skip moves on without running the step; one that runs is stopped first.
func (s *Show) Skip() Act {
	if s.Screen().State == Running {
		s.skipping = true
		return StopStep
	}
	return s.forward()
}

// Again runs the current step, also if it has run before.
func (s *Show) Again() Act {
	screen := s.Screen()
	if screen.State == Running || s.ending {
		return Nothing
	}
	screen.State, screen.Evidence, screen.Samples, screen.Failed, screen.Trial = Running, nil, nil, "", ""
	return RunStep
}

// done ends a step, and returns what to do next. The show goes on also if the step failed.
func (s *Show) done(step int, err error) Act {
	screen := &s.screens[step]
	screen.State, screen.Trial = Shown, ""
	if err != nil {
		screen.Failed = err.Error()
	}
	if s.skipping {
		s.skipping = false
		return s.forward()
	}
	return Nothing
}

// end stores the result.
func (s *Show) end(summary results.Summary) { s.ending, s.summary = true, &summary }

// Package present shows a lab on stage, step by step on key presses: narration, the commands that show the same by hand, and
// evidence. A show is live or replays a recorded run.
package present

import "context"

// Screen is one step of a show.
type Screen struct {
	Title     string
	Narration string
	// Commands show the same by hand.
	Commands []string
	// Evidence is what was seen when the step ran.
	Evidence []string
	// Failed is why the step failed; empty if it did not.
	Failed string
	State  State
}

// State is the state of a step.
type State int

// The states, in their order.
const (
	Announced State = iota // announced, and not run yet
	Running
	Shown
)

// Source provides the content of a show.
type Source interface {
	// Screens returns all steps as announced.
	Screens() []Screen
	// Run runs a step, and reports evidence line by line.
	Run(ctx context.Context, step int, tell func(line string)) error
	// End ends the show, also if ctx has ended, and returns its closing text. It must be called at most once.
	End(ctx context.Context) ([]string, error)
	// Note is printed on every screen; empty for a live show.
	Note() string
}

// Show is the state of a show. It is pure: the caller executes the acts that its methods return.
type Show struct {
	screens []Screen
	at      int
	// ending is set once the source was told to end; ended once it has.
	ending, ended bool
	words         []string
}

// Act is what the caller has to do after a key press.
type Act int

// The acts.
const (
	Nothing Act = iota
	RunStep     // run the step that is shown
	EndShow     // end the source and show its closing text
)

func newShow(screens []Screen) *Show { return &Show{screens: screens} }

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
	if s.at < len(s.screens)-1 {
		s.at++
		return Nothing
	}
	if s.ending {
		return Nothing
	}
	s.ending = true
	return EndShow
}

// Back shows the previous step, as it was.
func (s *Show) Back() {
	if s.Screen().State != Running && s.at > 0 {
		s.at--
	}
}

// Again runs the current step, also if it has run before.
func (s *Show) Again() Act {
	screen := s.Screen()
	if screen.State == Running || s.ending {
		return Nothing
	}
	screen.State, screen.Evidence, screen.Failed = Running, nil, ""
	return RunStep
}

// tell adds a line of evidence to a step.
func (s *Show) tell(step int, line string) {
	s.screens[step].Evidence = append(s.screens[step].Evidence, line)
}

// done ends a step. The show goes on also if the step failed.
func (s *Show) done(step int, err error) {
	s.screens[step].State = Shown
	if err != nil {
		s.screens[step].Failed = err.Error()
	}
}

// end stores the closing text.
func (s *Show) end(words []string) {
	s.ended, s.words = true, words
}

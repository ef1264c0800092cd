// Package present shows a lab on stage: narration, the commands that show the same by hand, and evidence, step by step on key
// presses. A show is live, or plays a recorded run.
package present

import "context"

// Screen is one step of a show.
type Screen struct {
	Title     string
	Narration string
	// Commands are what a person types to see the same by hand.
	Commands []string
	// Evidence is what was seen when the step ran.
	Evidence []string
	// Failed is why the step failed; empty if it did not.
	Failed string
	State  State
}

// State is how far a step has come.
type State int

// The states, in their order.
const (
	Announced State = iota // told, and not run yet
	Running
	Shown
)

// Source is what a show is made of.
type Source interface {
	// Screens are all steps, as they are announced.
	Screens() []Screen
	// Run runs a step, and tells evidence line by line.
	Run(ctx context.Context, step int, tell func(line string)) error
	// End ends the show, and returns what is said in the end. It may be called once.
	End(ctx context.Context) ([]string, error)
	// Note stands on every screen; empty for a live show.
	Note() string
}

// Show is where a show stands. It is pure: what its methods return has to be done by somebody else.
type Show struct {
	screens []Screen
	at      int
	// ending: the last words have been asked for; ended: they have been said.
	ending, ended bool
	words         []string
}

// Act is what a key press asks for.
type Act int

// The acts.
const (
	Nothing Act = iota
	RunStep     // run the step that is shown
	EndShow     // say the last words
)

func newShow(screens []Screen) *Show { return &Show{screens: screens} }

// Screen is the one that is shown.
func (s *Show) Screen() *Screen { return &s.screens[s.at] }

// Next goes on: an announced step is run, a shown one gives way to the next.
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

// Back shows the step before, as it was.
func (s *Show) Back() {
	if s.Screen().State != Running && s.at > 0 {
		s.at--
	}
}

// Again runs the step that is shown, also if it has run before.
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

// done ends a step; the show goes on, whatever came of it.
func (s *Show) done(step int, err error) {
	s.screens[step].State = Shown
	if err != nil {
		s.screens[step].Failed = err.Error()
	}
}

// end keeps the last words.
func (s *Show) end(words []string) {
	s.ended, s.words = true, words
}

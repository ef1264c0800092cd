package present

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
)

// Options configure Run.
type Options struct {
	In  io.Reader
	Out io.Writer
}

// The size of the screen where there is no terminal.
const (
	pipeWidth  = 140
	pipeHeight = 60
)

const (
	// tick is the interval at which the screen is drawn again while something moves.
	tick = 50 * time.Millisecond
	// growth is how long bars take to grow.
	growth = 600 * time.Millisecond
)

// Run shows a source until the presenter quits, and reports whether the show came to its end. It ends the source in any case. When ctx
// ends, so does the show.
func Run(ctx context.Context, source Source, o Options) (whole bool, err error) {
	m := &screen{
		ctx: ctx, source: source, show: newShow(source.Screens(), source.Immediate()),
		width: pipeWidth, height: pipeHeight,
	}
	// Signals are the caller's, who ends ctx: a step must have stopped, and the network be gone, before the program is.
	options := []tea.ProgramOption{tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithoutSignalHandler()}
	if terminal.Columns(o.Out) == 0 { // a pipe has no size of its own
		options = append(options, tea.WithWindowSize(pipeWidth, pipeHeight))
	}
	program := tea.NewProgram(m, options...)
	m.send = program.Send
	stop := context.AfterFunc(ctx, func() { program.Send(leave{}) })
	defer stop()
	_, err = program.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if m.cancel != nil { // it did not end as it should have
		m.cancel(labs.ErrInterrupted)
		<-m.stopped
	}
	if m.ended != nil {
		<-m.ended
	} else {
		_, endErr := source.End(m.ctx)
		err = errors.Join(err, endErr)
	}
	return m.whole, errors.Join(err, m.endErr)
}

// screen is the show on a terminal.
type screen struct {
	ctx    context.Context
	source Source
	show   *Show
	send   func(tea.Msg)
	endErr error
	// width and height of the terminal; offset is how far the body is scrolled, last how far it can be.
	width, height, offset, last int
	// cancel stops the step that runs, and stopped is closed when it has.
	cancel  context.CancelCauseFunc
	stopped chan struct{}
	// ended is closed when the source has ended; nil until it is told to end.
	ended chan struct{}
	// leaving is set when the presenter quits: the show ends when all is taken down. whole is set if it came to its end before.
	leaving, whole bool
	hint           string
	// began is when the step began, finished when the last one had, and now is the time of the last tick.
	began, finished, now time.Time
	ticking              bool
}

// Messages.
type (
	tellMsg struct {
		step int
		line string
	}
	trialMsg struct {
		step  int
		which string
	}
	rateMsg struct {
		step int
		rate float64
	}
	measuredMsg struct {
		step    int
		samples []results.Sample
	}
	finishedMsg struct {
		step int
		err  error
	}
	endedMsg struct {
		summary results.Summary
		err     error
	}
	leave   struct{}
	tickMsg time.Time
)

// reporter sends what a step tells to the screen.
type reporter struct {
	step int
	send func(tea.Msg)
}

func (r reporter) Trial(which string)                { r.send(trialMsg{r.step, which}) }
func (r reporter) Tell(line string)                  { r.send(tellMsg{r.step, line}) }
func (r reporter) Rate(bitsPerSecond float64)        { r.send(rateMsg{r.step, bitsPerSecond}) }
func (r reporter) Measured(samples []results.Sample) { r.send(measuredMsg{r.step, samples}) }

// Init implements tea.Model.
func (m *screen) Init() tea.Cmd {
	if m.show.immediate {
		return m.do(m.show.Again())
	}
	return nil
}

// Update implements tea.Model.
func (m *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	screens := m.show.screens
	switch msg := msg.(type) {
	case tea.KeyPressMsg:
		m.hint = ""
		return m, m.press(msg.String())
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case trialMsg:
		screens[msg.step].Trial = msg.which
	case tellMsg:
		screens[msg.step].Evidence = append(screens[msg.step].Evidence, msg.line)
	case rateMsg:
		screens[msg.step].Rate = msg.rate
	case measuredMsg:
		screens[msg.step].Samples = append(screens[msg.step].Samples, msg.samples...)
	case finishedMsg:
		m.cancel, m.stopped = nil, nil
		m.finished = time.Now()
		screens[msg.step].Rate = math.NaN()
		act := m.show.done(msg.step, msg.err)
		if m.leaving {
			act = EndShow
		}
		return m, tea.Batch(m.do(act), m.move())
	case endedMsg:
		m.endErr = msg.err
		m.show.end(msg.summary)
		m.offset = 0
		if m.leaving {
			return m, tea.Quit
		}
		m.whole = true
	case leave:
		return m, m.leave()
	case tickMsg:
		m.ticking, m.now = false, time.Time(msg)
		return m, m.move()
	}
	return m, nil
}

// move has the screen drawn again as long as something moves on it.
func (m *screen) move() tea.Cmd {
	running := m.show.Screen().State == Running
	if m.ticking || !running && time.Since(m.finished) > growth+tick {
		return nil
	}
	m.ticking = true
	return tea.Tick(tick, func(now time.Time) tea.Msg { return tickMsg(now) })
}

func (m *screen) press(key string) tea.Cmd {
	at := m.show.at
	defer func() {
		if m.show.at != at {
			m.offset = 0
		}
	}()
	switch key {
	case "q":
		return m.leave()
	case "ctrl+c":
		// Nothing that a presenter presses by mistake ends the show: it stops the step, or says how to leave.
		if m.cancel != nil {
			m.cancel(labs.ErrInterrupted)
		} else {
			m.hint = "[q] quits and takes everything down"
		}
	case "space", " ", "enter", "right", "n":
		return m.do(m.show.Next())
	case "left", "b":
		m.show.Back()
	case "s":
		return m.do(m.show.Skip())
	case "r":
		return m.do(m.show.Again())
	case "down", "j":
		m.offset = min(m.offset+1, m.last)
	case "up", "k":
		m.offset = max(m.offset-1, 0)
	case "pgdown":
		m.offset = min(m.offset+m.height/2, m.last)
	case "pgup":
		m.offset = max(m.offset-m.height/2, 0)
	case "home":
		m.offset = 0
	case "end":
		m.offset = m.last
	}
	return nil
}

// leave ends the show: first the step that runs, then the source, then the screen.
func (m *screen) leave() tea.Cmd {
	switch {
	case m.show.summary != nil:
		return tea.Quit
	case m.leaving:
		return nil
	}
	m.leaving = true
	switch {
	case m.cancel != nil:
		m.cancel(labs.ErrInterrupted)
		return nil
	case m.ended != nil: // it ends already
		return nil
	}
	return m.do(EndShow)
}

func (m *screen) do(a Act) tea.Cmd {
	step := m.show.at
	switch a {
	case RunStep:
		ctx, cancel := context.WithCancelCause(m.ctx)
		stopped := make(chan struct{})
		m.cancel, m.stopped = cancel, stopped
		m.began, m.now, m.offset = time.Now(), time.Now(), 0
		m.show.Screen().Rate = math.NaN()
		return tea.Batch(m.move(), func() tea.Msg {
			defer close(stopped)
			defer cancel(nil)
			return finishedMsg{step, m.source.Run(ctx, step, reporter{step, m.send})}
		})
	case StopStep:
		if m.cancel != nil {
			m.cancel(labs.ErrInterrupted)
		}
	case EndShow:
		m.show.ending = true
		ended := make(chan struct{})
		m.ended = ended
		return func() tea.Msg {
			defer close(ended)
			summary, err := m.source.End(m.ctx)
			return endedMsg{summary, err}
		}
	}
	return nil
}

// View implements tea.Model.
func (m *screen) View() tea.View {
	grown := 1.0
	if since := m.now.Sub(m.finished); since > 0 && since < growth {
		grown = float64(since) / float64(growth)
	}
	v := view{
		width: m.width, height: m.height, offset: m.offset, show: m.show, lab: m.source.Lab(), note: m.source.Note(),
		elapsed: m.now.Sub(m.began), grown: grown, hint: m.hint,
	}
	var shown string
	shown, m.last = v.text()
	m.offset = min(m.offset, m.last)
	screen := tea.NewView(shown)
	screen.AltScreen = true
	return screen
}

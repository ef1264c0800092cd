package present

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/terminal"
)

// Options configure Run.
type Options struct {
	In  io.Reader
	Out io.Writer
}

// widest bounds the width of narration and evidence, also on a wider screen.
const widest = 110

// The size of the screen where there is no terminal.
const (
	pipeWidth  = 140
	pipeHeight = 60
)

// Run shows a source until the presenter quits. It ends the source in any case. It returns labs.ErrInterrupted if the presenter pressed
// Ctrl-C, which is a key like others while a show has the terminal.
func Run(ctx context.Context, source Source, o Options) error {
	m := &screen{ctx: ctx, source: source, show: newShow(source.Screens()), columns: widest}
	// Signals end ctx, and all of the command with it.
	options := []tea.ProgramOption{tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithoutSignalHandler()}
	if terminal.Columns(o.Out) == 0 { // a pipe has no size of its own
		options = append(options, tea.WithWindowSize(pipeWidth, pipeHeight))
	}
	program := tea.NewProgram(m, options...)
	m.send = program.Send
	_, err := program.Run()
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case m.interrupted:
		err = labs.ErrInterrupted
	}
	if m.cancel != nil {
		m.cancel(labs.ErrInterrupted)
		<-m.stopped
	}
	if m.said != nil {
		<-m.said
	} else {
		_, endErr := source.End(ctx)
		err = errors.Join(err, endErr)
	}
	return errors.Join(err, m.endErr)
}

// screen is the show on a terminal.
type screen struct {
	ctx         context.Context
	source      Source
	show        *Show
	send        func(tea.Msg)
	endErr      error
	interrupted bool
	// columns of the screen.
	columns int
	// cancel stops the step that runs, and stopped is closed when it has.
	cancel  context.CancelCauseFunc
	stopped chan struct{}
	// said is closed when the source has ended; nil until it is told to end.
	said chan struct{}
}

// What steps send while they run.
type (
	told struct {
		step int
		line string
	}
	finished struct {
		step int
		err  error
	}
	spoken struct {
		words []string
		err   error
	}
)

// Init implements tea.Model.
func (m *screen) Init() tea.Cmd { return nil }

// Update implements tea.Model.
func (m *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.KeyPressMsg:
		return m, m.press(msg.String())
	case tea.WindowSizeMsg:
		m.columns = min(widest, msg.Width)
	case told:
		m.show.tell(msg.step, msg.line)
	case finished:
		m.cancel, m.stopped = nil, nil
		m.show.done(msg.step, msg.err)
	case spoken:
		m.endErr = msg.err
		m.show.end(msg.words)
	}
	return m, nil
}

func (m *screen) press(key string) tea.Cmd {
	switch key {
	case "ctrl+c":
		m.interrupted = true
		return tea.Quit
	case "q":
		return tea.Quit
	case "space", " ", "enter", "right", "n":
		if m.show.ended {
			return tea.Quit
		}
		return m.do(m.show.Next())
	case "left", "b":
		m.show.Back()
	case "r":
		return m.do(m.show.Again())
	}
	return nil
}

func (m *screen) do(a Act) tea.Cmd {
	step := m.show.at
	switch a {
	case RunStep:
		ctx, cancel := context.WithCancelCause(m.ctx)
		stopped := make(chan struct{})
		m.cancel, m.stopped = cancel, stopped
		return func() tea.Msg {
			defer close(stopped)
			defer cancel(nil)
			return finished{step, m.source.Run(ctx, step, func(line string) { m.send(told{step, line}) })}
		}
	case EndShow:
		said := make(chan struct{})
		m.said = said
		return func() tea.Msg {
			defer close(said)
			words, err := m.source.End(m.ctx)
			return spoken{words, err}
		}
	}
	return nil
}

// View implements tea.Model.
func (m *screen) View() tea.View { return tea.NewView(m.text()) }

// text returns the text of the whole screen.
func (m *screen) text() string {
	var b strings.Builder
	wrapped := func(label, s string) string { return terminal.Hang(label, s, m.columns) }
	if note := m.source.Note(); note != "" {
		fmt.Fprintf(&b, "%s\n\n", text.Bold.Sprint(wrapped("", note)))
	}
	s := m.show.Screen()
	if m.show.ended {
		fmt.Fprintf(&b, "%s\n\n[enter, q] quit\n", terminal.Wrap(strings.Join(m.show.words, "\n"), m.columns))
		return b.String()
	}
	title := wrapped("", fmt.Sprintf("%s  (%d of %d)", s.Title, m.show.at+1, len(m.show.screens)))
	fmt.Fprintf(&b, "%s\n\n%s\n", text.Bold.Sprint(title), wrapped("", s.Narration))
	for i, command := range s.Commands {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "  $ %s\n", command) // whole, to be copied
	}
	for _, line := range s.Evidence {
		fmt.Fprintf(&b, "\n%s", wrapped("  ", line))
	}
	if len(s.Evidence) > 0 {
		b.WriteByte('\n')
	}
	if s.Failed != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.Replace(wrapped("  failed: ", s.Failed), "failed:", text.Bold.Sprint("failed:"), 1))
	}
	help := map[State]string{Announced: "[space] run it", Running: "running …", Shown: "[space] next"}
	fmt.Fprintf(&b, "\n%s   [b] back   [r] run again   [q] quit\n", help[s.State])
	return b.String()
}

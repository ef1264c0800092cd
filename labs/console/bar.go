package console

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/dsrlab/dsrlab/labs/terminal"
)

// barLength is the length of the bar alone, in characters.
const barLength = 20

// bar is the progress bar in the last line of a terminal while a phase runs: the share done, the trial, and its current state. It is
// erased before anything else is written. The nil bar does nothing.
type bar struct {
	w     io.Writer
	total int
	// begun counts the trials that have begun: the last one of them runs.
	begun   int
	trial   string
	live    string
	visible bool
}

// begin moves the bar to a trial. A repeated trial counts once.
func (b *bar) begin(trial string) {
	if b == nil {
		return
	}
	if trial != b.trial || b.begun == 0 {
		b.begun = min(b.begun+1, b.total)
	}
	b.trial, b.live = trial, ""
	b.draw()
}

// tell replaces the trial's current state.
func (b *bar) tell(live string) {
	if b == nil || live == b.live {
		return
	}
	b.live = live
	b.draw()
}

func (b *bar) draw() {
	if b == nil || b.begun == 0 {
		return
	}
	b.erase()
	// The last column stays free: some terminals go to the next line after it.
	fmt.Fprint(b.w, terminal.Parts{b.line()}.Fit(terminal.ColumnsOr(b.w, terminal.ProseColumns)-1))
	b.visible = true
}

// line returns the line to draw: the trials that are done fill the bar.
func (b *bar) line() string {
	filled := 0
	if b.total > 0 {
		filled = barLength * (b.begun - 1) / b.total
	}
	line := fmt.Sprintf("  %s%s  %d of %d  %s", strings.Repeat("█", filled), strings.Repeat("░", barLength-filled), b.begun, b.total, b.trial)
	if b.live != "" {
		line += "  " + b.live
	}
	return line
}

// erase removes the bar from the screen.
func (b *bar) erase() {
	if b == nil || !b.visible {
		return
	}
	fmt.Fprint(b.w, "\r"+text.EraseLine.Sprint())
	b.visible = false
}

// Package terminal fits text to the width of what it is written to: terminals, and pipes and files, which have none.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// The columns of what has no width of its own.
const (
	// ProseColumns are those of narration.
	ProseColumns = 80
	// TableColumns are those of tables.
	TableColumns = 100
)

// leastColumns is the width below which nothing is fitted any more: it would not get readable.
const leastColumns = 40

// Sized is a writer that knows its width.
type Sized interface {
	io.Writer
	// Columns is the width in characters; 0 where there is no terminal.
	Columns() int
}

// Columns is the width of the terminal that w writes to; 0 where it is none.
func Columns(w io.Writer) int {
	switch w := w.(type) {
	case Sized:
		return w.Columns()
	case *os.File:
		columns, _, err := term.GetSize(int(w.Fd()))
		switch {
		case err != nil:
			return 0
		case columns == 0: // nobody has said how wide it is
			return ProseColumns
		}
		return max(columns, leastColumns)
	}
	return 0
}

// ColumnsOr is Columns, or otherwise where there is no terminal.
func ColumnsOr(w io.Writer, otherwise int) int {
	if columns := Columns(w); columns > 0 {
		return columns
	}
	return otherwise
}

// Colored reports whether w is a terminal that shows colours, and its user wants them (NO_COLOR is not set).
func Colored(w io.Writer) bool { return Moves(w) && os.Getenv("NO_COLOR") == "" }

// Moves reports whether w is a terminal whose cursor can be moved: any but TERM=dumb.
func Moves(w io.Writer) bool { return Columns(w) > 0 && os.Getenv("TERM") != "dumb" }

// Fixed is a writer of a fixed width.
type Fixed struct {
	io.Writer
	Width int
}

// Columns implements Sized.
func (f Fixed) Columns() int { return f.Width }

// Width is how many columns a text takes, without what only sets its colour.
func Width(s string) int { return text.StringWidthWithoutEscSequences(s) }

// Wrap breaks lines that are longer than width: between words where it can, within a word that is longer than a line. Blanks
// are kept but where a line is broken.
func Wrap(s string, width int) string {
	width = max(width, 1)
	var lines []string
	for _, line := range strings.Split(s, "\n") {
		lines = append(lines, wrapLine(line, width)...)
	}
	return strings.Join(lines, "\n")
}

func wrapLine(line string, width int) (lines []string) {
	for Width(line) > width {
		end, blank := cutAt(line, width), -1
		// The last blank at which what comes before fits, but none between a number and its %; what is only blanks is no line.
		for i := min(end, len(line)-1); i > 0; i-- {
			if line[i] == ' ' && !strings.HasPrefix(line[i:], " %") && strings.TrimSpace(line[:i]) != "" {
				blank = i
				break
			}
		}
		if blank < 0 {
			lines, line = append(lines, line[:end]), line[end:]
			continue
		}
		lines, line = append(lines, strings.TrimRight(line[:blank], " ")), strings.TrimLeft(line[blank:], " ")
	}
	return append(lines, line)
}

// cutAt is the length in bytes of the longest beginning of s that takes width columns at most, and at least one character.
func cutAt(s string, width int) int {
	taken := 0
	for i, r := range s {
		if taken += text.RuneWidth(r); taken > width && i > 0 {
			return i
		}
	}
	return len(s)
}

// Hang puts a label before a text, and wraps the text beside it.
func Hang(label, s string, width int) string {
	indent := Width(label)
	return label + strings.ReplaceAll(Wrap(s, width-indent), "\n", "\n"+strings.Repeat(" ", indent))
}

// Parts is a list of short texts for one line: where not all of them fit, the first ones are shown, and how many more there are.
type Parts []string

// String is all of them.
func (p Parts) String() string { return strings.Join(p, "; ") }

// Fit is as many of the parts as fit into width, as in "a; b; +3 more". If not even the first one fits it is cut between words.
func (p Parts) Fit(width int) string {
	for n := len(p); n > 0; n-- {
		s := p[:n].String()
		if n < len(p) {
			s += fmt.Sprintf("; +%d more", len(p)-n)
		}
		if Width(s) <= width {
			return s
		}
	}
	if len(p) == 0 {
		return ""
	}
	return cut(p[0], width)
}

// cut shortens a text, between words where it can.
func cut(s string, width int) string {
	if Width(s) <= width {
		return s
	}
	line := wrapLine(s, max(width-2, 1))[0]
	return strings.TrimRight(line, " ,;:(") + " …"
}

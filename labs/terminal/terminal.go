// Package terminal fits text to the width of its output: that of a terminal, or a default for pipes and files.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// Default widths, for output without a width of its own.
const (
	// ProseColumns is for narration.
	ProseColumns = 80
	// TableColumns is for tables.
	TableColumns = 100
)

// leastColumns is the width below which text is not fitted any more, because it would not be readable.
const leastColumns = 40

// Sized is a writer that knows its width.
type Sized interface {
	io.Writer
	// Columns returns the width in characters; 0 where there is no terminal.
	Columns() int
}

// Columns returns the width of the terminal that w writes to, or 0 if w is no terminal.
func Columns(w io.Writer) int {
	switch w := w.(type) {
	case Sized:
		return w.Columns()
	case *os.File:
		columns, _, err := term.GetSize(int(w.Fd()))
		switch {
		case err != nil:
			return 0
		case columns == 0: // the terminal has no size, as on a serial line
			return ProseColumns
		}
		return max(columns, leastColumns)
	}
	return 0
}

// ColumnsOr returns Columns(w), or otherwise if w is no terminal.
func ColumnsOr(w io.Writer, otherwise int) int {
	if columns := Columns(w); columns > 0 {
		return columns
	}
	return otherwise
}

// Colored reports whether w is a terminal that shows colours and NO_COLOR is not set.
func Colored(w io.Writer) bool { return MovesCursor(w) && os.Getenv("NO_COLOR") == "" }

// MovesCursor reports whether w is a terminal whose cursor can be moved: any but TERM=dumb.
func MovesCursor(w io.Writer) bool { return Columns(w) > 0 && os.Getenv("TERM") != "dumb" }

// Fixed is a writer of a fixed width.
type Fixed struct {
	io.Writer
	Width int
}

// Columns implements Sized.
func (f Fixed) Columns() int { return f.Width }

// Width returns how many columns a text takes. Escape sequences for colours take none.
func Width(s string) int { return text.StringWidthWithoutEscSequences(s) }

// Wrap breaks lines that are longer than width: between words where possible, within a word that is longer than a line. Blanks
// are kept except where a line is broken.
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
		// Break at the last blank before which the text fits, but not between a number and its %, and not into a blank line.
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

// cutAt returns the length in bytes of the longest prefix of s that takes at most width columns, and at least one character.
func cutAt(s string, width int) int {
	taken := 0
	for i, r := range s {
		if taken += text.RuneWidth(r); taken > width && i > 0 {
			return i
		}
	}
	return len(s)
}

// Hang puts a label before a text, with a hanging indent for the text's other lines.
func Hang(label, s string, width int) string {
	indent := Width(label)
	return label + strings.ReplaceAll(Wrap(s, width-indent), "\n", "\n"+strings.Repeat(" ", indent))
}

// Parts is a list of short texts for one line. Where not all of them fit, the first ones are shown, and how many more there are.
type Parts []string

// String joins all parts.
func (p Parts) String() string { return strings.Join(p, "; ") }

// Fit returns as many parts as fit into width, as in "a; b; +3 more". If not even the first one fits, it is cut between words.
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

// cut shortens a text, between words where possible.
func cut(s string, width int) string {
	if Width(s) <= width {
		return s
	}
	line := wrapLine(s, max(width-2, 1))[0]
	return strings.TrimRight(line, " ,;:(") + " …"
}

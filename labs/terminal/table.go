package terminal

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// gap separates columns.
const gap = "  "

// longestWord is the longest word that is kept whole as long as other columns can be made narrower.
const longestWord = 44

// Table is a table that fits the width of its output: columns with much text are wrapped.
type Table struct {
	w        io.Writer
	header   []string
	rows     [][]any
	optional []string
	spaced   bool
}

// NewTable returns an empty table with a header. Render writes it.
func NewTable(w io.Writer, header ...string) *Table { return &Table{w: w, header: header} }

// Optional names columns that are left out, the first ones first, where the table does not fit without breaking words.
func (t *Table) Optional(columns ...string) *Table {
	t.optional = columns
	return t
}

// Spaced puts an empty line between rows, for rows that may take several lines.
func (t *Table) Spaced() *Table {
	t.spaced = true
	return t
}

// Row adds a row. Parts stay on one line; anything else is wrapped.
func (t *Table) Row(cells ...any) { t.rows = append(t.rows, cells) }

// Render writes the table.
func (t *Table) Render() {
	width := ColumnsOr(t.w, TableColumns)
	columns := make([]int, len(t.header))
	for i := range columns {
		columns[i] = i
	}
	for _, name := range t.optional {
		if natural, floors := t.widths(columns); total(natural) <= width || total(floors) <= width {
			break
		}
		columns = slices.DeleteFunc(columns, func(i int) bool { return t.header[i] == name })
	}
	natural, floors := t.widths(columns)
	widths := narrow(natural, floors, width)
	out := table.NewWriter()
	out.SetOutputMirror(t.w)
	out.SetStyle(table.StyleLight)
	style := out.Style()
	style.Options = table.OptionsNoBordersAndSeparators
	style.Options.SeparateHeader = false
	style.Format.Header = text.FormatDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "", gap
	out.SuppressTrailingSpaces()
	header := make(table.Row, len(columns))
	for at, i := range columns {
		header[at] = Wrap(t.header[i], widths[at])
		if Colored(t.w) {
			header[at] = text.Bold.Sprint(header[at])
		}
	}
	out.AppendHeader(header)
	for n, row := range t.rows {
		if t.spaced && n > 0 {
			out.AppendRow(table.Row{""})
		}
		cells := make(table.Row, len(columns))
		for at, i := range columns {
			cells[at] = fitted(row[i], widths[at])
		}
		out.AppendRow(cells)
	}
	out.Render()
}

func fitted(cell any, width int) string {
	if parts, ok := cell.(Parts); ok {
		return parts.Fit(width)
	}
	return Wrap(fmt.Sprint(cell), width)
}

// widths returns, for each column, the width of its longest line and the least width that breaks no word.
func (t *Table) widths(columns []int) (natural, floors []int) {
	natural, floors = make([]int, len(columns)), make([]int, len(columns))
	take := func(at int, cell any) {
		for _, line := range strings.Split(fmt.Sprint(cell), "\n") {
			natural[at] = max(natural[at], Width(line))
		}
		if parts, ok := cell.(Parts); ok { // shortened instead of wrapped, so it needs room
			if len(parts) > 0 {
				floors[at] = max(floors[at], min(Width(parts[0])+len("; +99 more"), natural[at], longestWord))
			}
			return
		}
		for _, word := range strings.Fields(fmt.Sprint(cell)) {
			floors[at] = max(floors[at], min(Width(word), longestWord))
		}
	}
	for at, i := range columns {
		take(at, t.header[i])
		for _, row := range t.rows {
			take(at, row[i])
		}
	}
	return natural, floors
}

func total(widths []int) int {
	sum := len(gap) * (len(widths) - 1)
	for _, w := range widths {
		sum += w
	}
	return sum
}

// narrow makes the widest columns narrower until all of them fit, and none narrower than its floor unless it has to.
func narrow(natural, floors []int, width int) []int {
	widths := slices.Clone(natural)
	for _, least := range [][]int{floors, make([]int, len(floors))} {
		for total(widths) > width {
			widest := -1
			for i, w := range widths {
				if w > max(least[i], 1) && (widest < 0 || w > widths[widest]) {
					widest = i
				}
			}
			if widest < 0 {
				break
			}
			widths[widest]--
		}
	}
	return widths
}

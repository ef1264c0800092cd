package terminal_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/labs/terminal"
)

func TestWrap(t *testing.T) {
	for name, test := range map[string]struct {
		text  string
		width int
		want  string
	}{
		"fits":              {"one two", 7, "one two"},
		"between words":     {"one two three", 8, "one two\nthree"},
		"exactly":           {"one two three", 7, "one two\nthree"},
		"a long word":       {"abcdefghij", 4, "abcd\nefgh\nij"},
		"blanks are kept":   {"  a  b", 10, "  a  b"},
		"indent is kept":    {"  one two", 6, "  one\ntwo"},
		"lines stay":        {"one\ntwo three", 5, "one\ntwo\nthree"},
		"per cent":          {"it is 95 % of it", 8, "it is\n95 % of\nit"},
		"more than a byte":  {"└ ███ ███", 5, "└ ███\n███"},
		"nothing":           {"", 5, ""},
		"a word after long": {"abcdefgh ij", 4, "abcd\nefgh\nij"},
	} {
		assert.Equal(t, test.want, terminal.Wrap(test.text, test.width), name)
	}
	assert.Equal(t, "  dsr    one two\n         three", terminal.Hang("  dsr    ", "one two three", 17))
}

func TestParts(t *testing.T) {
	parts := terminal.Parts{"dsr 940 of 941 Mbit/s", "snat 90.1 Mbit/s", "0 B past"}
	for width, want := range map[int]string{
		60: "dsr 940 of 941 Mbit/s; snat 90.1 Mbit/s; 0 B past",
		48: "dsr 940 of 941 Mbit/s; snat 90.1 Mbit/s; +1 more",
		40: "dsr 940 of 941 Mbit/s; +2 more",
		25: "dsr 940 of 941 Mbit/s",
		20: "dsr 940 of 941 …",
	} {
		assert.Equal(t, want, parts.Fit(width), "%d", width)
	}
	assert.Empty(t, terminal.Parts(nil).Fit(10))
}

func TestTable(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	table := func(width int) string {
		var b bytes.Buffer
		table := terminal.NewTable(terminal.Fixed{Writer: &b, Width: width}, "RUN", "LAB", "WHAT", "FIGURES").Optional("LAB")
		table.Row("20261128T075102Z-01-source-ip-bx22w", "01-source-ip", "a sentence of several words", terminal.Parts{"first", "second", "third"})
		table.Render()
		return b.String()
	}
	assert.Equal(t, `RUN                                  LAB           WHAT                         FIGURES
20261128T075102Z-01-source-ip-bx22w  01-source-ip  a sentence of several words  first; second; third
`, table(120))
	assert.Equal(t, `RUN                                  WHAT           FIGURES
20261128T075102Z-01-source-ip-bx22w  a sentence of  first; +2 more
                                     several words
`, table(70), "the optional column makes room, the longest text is wrapped")
	for _, width := range []int{40, 50, 60, 70} {
		for _, line := range strings.Split(table(width), "\n") {
			assert.LessOrEqual(t, terminal.Width(line), width)
		}
	}
}

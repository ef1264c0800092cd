package console

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/charmbracelet/x/vt"
	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// fakeTerminal shows what is written to it, and keeps what scrolls off.
type fakeTerminal struct{ *vt.Emulator }

// newFakeTerminal is one in which a line feed begins a new line, as a tty makes it.
func newFakeTerminal(columns, rows int) fakeTerminal {
	return fakeTerminal{vt.NewEmulator(columns, rows)}
}

func (f fakeTerminal) Columns() int { return f.Width() }

func (f fakeTerminal) Write(p []byte) (int, error) {
	_, err := f.Emulator.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

// lines are all lines, from the first one that scrolled off.
func (f fakeTerminal) lines() []string {
	var all []string
	for y := range f.ScrollbackLen() {
		all = append(all, strings.TrimRight(f.Scrollback().Line(y).String(), " "))
	}
	return append(all, strings.Split(strings.TrimRight(f.String(), "\n "), "\n")...)
}

// story tells a console a phase of three variants, and returns the evidence that it was told.
func story(c *Console) []string {
	lab := &labs.Lab{Metadata: labs.Metadata{Name: "99-test", Title: "A test"}, Spec: labs.Spec{
		Question: strings.Repeat("What does it answer? ", 8), Variants: []testbed.Variant{{Name: "snat"}, {Name: "snat-nlb-stateful"}, {Name: "dsr"}},
	}}
	phase := &labs.Phase{Name: "first", Narration: "What is going to happen."}
	c.Begin(lab, &topologies.Plan{})
	c.Phase(phase, 2*len(lab.Spec.Variants))
	var told []string
	for repetition := range 2 {
		for _, v := range lab.Spec.Variants {
			c.Trial(v, repetition, map[string]string{"queue": "256kb"})
			c.Rate(90.1e6)
			for i := range 3 {
				told = append(told, fmt.Sprintf("evidence %d of %s in repetition %d: %s", i, v.Name, repetition, strings.Repeat("a word and ", 9*i)+"the end"))
				c.Evidence(v.Name, told[len(told)-1])
			}
			c.Rate(math.NaN())
		}
	}
	c.End(results.Summary{Lab: "99-test", Result: results.Failed, Reasons: []string{strings.Repeat("because ", 20)}})
	return told
}

// squeezed is a text without what wrapping may change.
func squeezed(s string) string { return strings.Join(strings.Fields(s), "") }

func TestConsoleOnTerminal(t *testing.T) {
	for _, size := range [][2]int{{40, 10}, {80, 24}, {120, 36}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			screen := newFakeTerminal(size[0], size[1])
			told := story(&Console{Out: screen, Progress: screen, Color: true})
			lines := screen.lines()
			shown := squeezed(strings.Join(lines, "\n"))
			for _, evidence := range told {
				_, after, found := strings.Cut(shown, squeezed(evidence))
				assert.True(t, found, "in order: %s", evidence)
				assert.NotContains(t, after, squeezed(evidence), "once")
				shown = after
			}
			for _, line := range lines {
				assert.LessOrEqual(t, terminal.Width(line), size[0])
				assert.NotContains(t, line, "░", "the bar is gone")
				assert.NotContains(t, line, "Mbit/s", "and the rate with it")
			}
			assert.Contains(t, shown, "99-test:failed")
		})
	}
}

// TestConsoleBar looks at the screen while a phase runs.
func TestConsoleBar(t *testing.T) {
	screen := newFakeTerminal(80, 24)
	c := &Console{Out: screen, Progress: screen}
	bottom := func() string { lines := screen.lines(); return lines[len(lines)-1] }
	c.Phase(&labs.Phase{Name: "first"}, 3)
	assert.Equal(t, "first", bottom(), "nothing runs yet")
	snat, dsr := testbed.Variant{Name: "snat"}, testbed.Variant{Name: "dsr"}
	c.Trial(snat, 0, nil)
	assert.Equal(t, "  ░░░░░░░░░░░░░░░░░░░░  1 of 3  snat", bottom())
	c.Rate(90.1e6)
	assert.Equal(t, "  ░░░░░░░░░░░░░░░░░░░░  1 of 3  snat  90.1 Mbit/s", bottom())
	c.Evidence("snat", "seen")
	assert.Equal(t, "  ░░░░░░░░░░░░░░░░░░░░  1 of 3  snat  90.1 Mbit/s", bottom(), "below what was told")
	c.Trial(snat, 0, nil)
	assert.Equal(t, "  ░░░░░░░░░░░░░░░░░░░░  1 of 3  snat", bottom(), "once more")
	c.Trial(dsr, 0, nil)
	assert.Equal(t, "  ██████░░░░░░░░░░░░░░  2 of 3  dsr", bottom())
	fmt.Fprintln(c.Messages(screen), "a warning")
	assert.Equal(t, []string{"", "first", "", "", "  snat        seen", "a warning", "  ██████░░░░░░░░░░░░░░  2 of 3  dsr"}, screen.lines())
	c.Trial(dsr, 1, map[string]string{"what": strings.Repeat("long ", 20)})
	assert.Len(t, screen.lines(), 7, "one line, however long")
	c.End(results.Summary{Lab: "x", Result: results.Passed})
	assert.Equal(t, []string{"", "first", "", "", "  snat        seen", "a warning", "", "x: passed"}, screen.lines())
}

func TestConsoleWithoutTerminal(t *testing.T) {
	var b bytes.Buffer
	told := story(&Console{Out: &b})
	assert.NotContains(t, b.String(), "\x1b", "no colours and no cursor")
	for _, evidence := range told {
		assert.Contains(t, squeezed(b.String()), squeezed(evidence))
	}
	for _, line := range strings.Split(b.String(), "\n") {
		assert.LessOrEqual(t, terminal.Width(line), terminal.ProseColumns)
	}
	assert.Contains(t, b.String(), "  snat              evidence 0 of snat in repetition 0: the end\n"+
		"                    evidence 1 of snat in repetition 0: a word and a word and a\n                    word and")
}

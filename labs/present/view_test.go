package present

import (
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/charmbracelet/x/vt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
)

// drawn is what a person sees of a screen.
func drawn(t *testing.T, v view) []string {
	t.Helper()
	text, last := v.text()
	lines := strings.Split(text, "\n")
	require.Len(t, lines, v.height, "no more, so that nothing scrolls")
	for _, line := range lines {
		require.LessOrEqual(t, terminal.Width(line), v.width, "%q", line)
	}
	require.GreaterOrEqual(t, last, 0)
	screen := vt.NewEmulator(v.width, v.height)
	_, err := io.WriteString(screen, strings.Join(lines, "\r\n"))
	require.NoError(t, err)
	require.Zero(t, screen.ScrollbackLen(), "nothing scrolled off")
	var seen []string
	for _, line := range strings.Split(screen.String(), "\n") {
		seen = append(seen, strings.TrimRight(line, " "))
	}
	return seen
}

// whole is a screen's body, scrolled from its first line to its last, without blanks, which wrapping may change.
func whole(t *testing.T, v view) string {
	t.Helper()
	var b strings.Builder
	_, last := v.text()
	head := len(v.head())
	for v.offset = 0; ; v.offset++ {
		lines := drawn(t, v)
		if v.offset == last {
			b.WriteString(strings.Join(lines[head:len(lines)-1], " "))
			break
		}
		b.WriteString(lines[head] + " ")
	}
	return strings.Join(strings.Fields(b.String()), "")
}

// TestViewOfReferenceRuns draws every screen of every reference run at many sizes. Nothing may be cut or pushed off the screen.
func TestViewOfReferenceRuns(t *testing.T) {
	entries, err := results.Store{Reference: results.Reference()}.List()
	require.NoError(t, err)
	require.NotEmpty(t, entries)
	for _, entry := range entries {
		require.NoError(t, entry.Err)
		for _, size := range [][2]int{{80, 24}, {120, 36}, {40, 12}, {200, 60}} {
			t.Run(fmt.Sprintf("%s/%dx%d", entry.Name, size[0], size[1]), func(t *testing.T) {
				r := NewRecorded(entry.Run)
				show := newShow(r.Screens(), true)
				v := view{width: size[0], height: size[1], show: show, lab: r.Lab(), note: r.Note(), grown: 1}
				for i := range show.screens {
					show.at = i
					s := show.Screen()
					s.Evidence, s.Samples, s.State, s.Rate = r.screens[i].Evidence, r.screens[i].Samples, Shown, math.NaN()
					lines := drawn(t, v)
					assert.Contains(t, lines[0]+lines[1], strings.Fields(s.Title)[0], "the title")
					assert.Contains(t, lines[len(lines)-1], "[space] next")
					shown := whole(t, v)
					for _, text := range append([]string{s.Narration}, s.Evidence...) {
						assert.Contains(t, shown, strings.Join(strings.Fields(text), ""))
					}
				}
				summary := results.Verdicts(entry.Run)
				show.end(summary)
				assert.Contains(t, drawn(t, v)[0], string(summary.Result))
			})
		}
	}
}

// TestRecordedSteps: one screen for each variant in each phase, with the median of its repetitions.
func TestRecordedSteps(t *testing.T) {
	run, err := results.Store{Reference: results.Reference()}.Find("02-throughput")
	require.NoError(t, err)
	r := NewRecorded(run)
	var titles []string
	for _, s := range r.screens[1:] {
		titles = append(titles, s.Title)
	}
	assert.Equal(t, []string{
		"download · none", "download · kube-proxy", "download · snat", "download · dsr",
		"policed · none", "policed · kube-proxy", "policed · snat", "policed · dsr",
		"bursts · kube-proxy", "bursts · snat", "queues · kube-proxy", "queues · snat",
	}, titles)
	summary := results.Summarize(run)
	b := boardOf(r.Lab(), r.screens, &r.screens[3])
	require.Len(t, b.rows, 4)
	for _, row := range b.rows {
		for _, m := range summary.Metrics {
			if m.Variant == row.variant && m.Metric == "payload_rate" && len(m.Labels) == 0 {
				assert.InDelta(t, *m.Median, row.value, 1, row.variant)
				assert.Equal(t, m.Valid, row.n)
			}
		}
	}
	b = boardOf(r.Lab(), r.screens, &r.screens[9])
	assert.Len(t, b.rows, 6, "two variants, three bursts")
}

func TestBoardWhileTransferRuns(t *testing.T) {
	screens := []Screen{
		{Phase: "download", Variant: "none", Samples: []results.Sample{{Variant: "none", Metric: "payload_rate", Unit: "bit/s", Value: 940e6}}, State: Shown},
		{Phase: "download", Variant: "snat", State: Running, Rate: 90e6},
		{Phase: "other", Variant: "snat"},
	}
	b := boardOf(nil, screens, &screens[1])
	assert.Equal(t, liveCaption, b.caption)
	r, ok := b.figure("snat")
	assert.True(t, ok)
	assert.Equal(t, "90 Mbit/s", b.format(r.value))

	screens[1].Rate = math.NaN()
	assert.Empty(t, boardOf(nil, screens, &screens[1]).rows, "nothing runs, and it is not known what is measured")
}

func TestDigits(t *testing.T) {
	assert.Equal(t, []string{
		"█▀█ █ █   █▀▀",
		"▀▀█ ▀▀█   ▀▀█",
		"▀▀▀   ▀ ▀ ▀▀▀  Mbit/s",
	}, digits("94.5 Mbit/s", false))
	assert.Len(t, digits("100 %", true), 5)
	assert.Nil(t, digits("–", true))
	assert.Nil(t, digits("1.2e+03 things", true))
	for _, r := range "0123456789.,-% " {
		g := glyph(r)
		require.Len(t, g, glyphRows, "%q", r)
		for _, row := range g {
			assert.Len(t, row, len(g[0]), "%q", r)
		}
	}
}

func TestLongCommand(t *testing.T) {
	v := view{width: 30}
	lines := v.command("$ ", "sudo dsrlab exec client -- bin/labpod connect --protocol tcp 185.150.8.128:8080")
	for i, line := range lines {
		assert.LessOrEqual(t, terminal.Width(line), 30)
		assert.Equal(t, i < len(lines)-1, strings.Contains(line, `\`), "continued as a shell reads it")
	}
}

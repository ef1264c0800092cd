package present

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/console"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
)

const (
	// widestProse bounds the width of narration, also on a wider screen.
	widestProse = 100
	// leastWidth and leastHeight bound what a screen is laid out for.
	leastWidth, leastHeight = 20, 6
	// tallHeight is the height from which figures are drawn in five lines.
	tallHeight = 30
	// figureWidth is what figures need from a screen's width at least.
	figureWidth = 60
)

// view is what a screen of a certain size shows. It is pure.
type view struct {
	width, height int
	// offset is the first line of the body that is on the screen.
	offset int
	show   *Show
	lab    *labs.Lab
	note   string
	// elapsed is how long the step has run.
	elapsed time.Duration
	// grown is the share of their length to which the bars of the screen have grown.
	grown float64
	// hint is said instead of the keys.
	hint string
}

// text returns the whole screen, and how far its body can be scrolled. It always has as many lines as the screen, and none is wider.
func (v view) text() (screen string, last int) {
	v.width, v.height = max(v.width, leastWidth), max(v.height, leastHeight)
	head := v.head()
	if len(head) > v.height/2 {
		head = head[:v.height/2]
	}
	room := v.height - len(head) - 2 // an empty line and the keys
	body := v.body(room)
	last = max(len(body)-room, 0)
	offset := min(v.offset, last)
	shown := body[offset:min(offset+room, len(body))]
	lines := append(head, shown...)
	for len(lines) < v.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, v.keys(offset, last))
	return strings.Join(lines, "\n"), last
}

// head is the title, and whether the show is recorded.
func (v view) head() []string {
	s := v.show.Screen()
	left, right := s.Title, fmt.Sprintf("%d of %d", v.show.at+1, len(v.show.screens))
	switch {
	case v.show.summary != nil:
		left, right = v.show.summary.Lab+": "+string(v.show.summary.Result), ""
	case s.Variant != "" && v.lab != nil:
		left = v.lab.Metadata.Name + "  " + left
	}
	if v.width < 2*leastWidth {
		right = ""
	}
	var lines []string
	title := strings.Split(terminal.Wrap(left, max(v.width-len(right)-4, 10)), "\n")
	for i, line := range title {
		if i > 0 {
			right = ""
		}
		gap := max(v.width-terminal.Width(line)-len(right)-2, 0)
		lines = append(lines, text.Colors{text.Bold, text.ReverseVideo}.Sprint(" "+line+strings.Repeat(" ", gap)+right+" "))
	}
	if v.note != "" {
		note := v.wrap(v.note, v.width)
		if len(lines)+len(note) > v.height/3 { // it must not take the room of what it is about
			note = []string{terminal.Parts{" " + v.note}.Fit(v.width)}
		}
		lines = append(lines, styled(text.Colors{text.Bold, text.FgYellow}, note)...)
	}
	return append(lines, "")
}

// wrap breaks a text into lines that fit, each after a blank.
func (v view) wrap(s string, width int) []string {
	const indent = " "
	width = min(width, v.width) - len(indent)
	lines := strings.Split(terminal.Wrap(s, width), "\n")
	for i := range lines {
		lines[i] = indent + lines[i]
	}
	return lines
}

func styled(c text.Colors, lines []string) []string {
	for i := range lines {
		lines[i] = c.Sprint(lines[i])
	}
	return lines
}

// body is everything between head and keys. Where it is longer than the room, what was found comes before what was announced.
func (v view) body(room int) []string {
	if v.show.summary != nil {
		return v.verdicts(*v.show.summary)
	}
	s := v.show.Screen()
	narration := v.wrap(s.Narration, widestProse)
	var found [][]string
	if s.Failed != "" {
		found = append(found, styled(text.Colors{text.Bold, text.FgHiRed}, v.wrap("failed: "+s.Failed, v.width)))
	}
	b := boardOf(v.lab, v.show.screens, s)
	if s.Variant != "" && s.State != Announced && len(b.rows) > 0 {
		found = append(found, v.figure(b, s), v.race(b, s))
	}
	var evidence []string
	for _, line := range s.Evidence {
		evidence = append(evidence, strings.Split(terminal.Hang(" ", strings.ReplaceAll(terminal.Wrap(line, v.width-4), "\n", "\n  "), v.width), "\n")...)
	}
	found = append(found, evidence)
	var aside []string
	if s.Output != nil {
		aside = v.output(s)
	}
	if len(s.ByHand) > 0 {
		aside = append(aside, text.Faint.Sprint(" By hand:"))
		for _, command := range s.ByHand {
			aside = append(aside, v.command("   ", command)...)
		}
	}
	inOrder := append(append([][]string{narration}, found...), aside)
	if lines := paragraphs(inOrder); len(lines) <= room || s.State == Announced {
		return lines
	}
	return paragraphs(append(append(found, narration), aside))
}

// paragraphs puts an empty line between those that are not empty.
func paragraphs(all [][]string) []string {
	var lines []string
	for _, p := range all {
		if len(p) == 0 {
			continue
		}
		if len(lines) > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, p...)
	}
	return lines
}

// output is a command and what it prints on a terminal of this width.
func (v view) output(s *Screen) []string {
	var b bytes.Buffer
	s.Output(terminal.Fixed{Writer: &b, Width: v.width})
	var lines []string
	if s.Command != "" {
		lines = v.command("$ ", s.Command)
	}
	return append(lines, strings.Split(strings.TrimRight(b.String(), "\n"), "\n")...)
}

// command is a command that can be copied whole: where it is longer than a line, as a shell reads it.
func (v view) command(prompt, command string) []string {
	lines := strings.Split(terminal.Wrap(command, v.width-len(prompt)-2), "\n")
	for i := range lines {
		if i < len(lines)-1 {
			lines[i] += ` \`
		}
		if i > 0 {
			prompt = strings.Repeat(" ", len(prompt))
		}
		lines[i] = prompt + lines[i]
	}
	return styled(text.Colors{text.FgCyan}, lines)
}

// figure is the value that the screen is about, large.
func (v view) figure(b board, s *Screen) []string {
	r, ok := b.figure(s.Variant)
	if !ok {
		return nil
	}
	lines := digits(b.format(r.value), v.height >= tallHeight)
	if lines == nil || v.width < figureWidth {
		return nil
	}
	for i := range lines {
		if terminal.Width(lines[i]) > v.width-2 {
			return nil
		}
		lines[i] = "  " + lines[i]
	}
	return styled(text.Colors{text.Bold, hue(v.lab, s.Variant)}, lines)
}

// eighths are bars of an eighth of a column, two eighths, and so on.
func eighths() []rune { return []rune(" ▏▎▍▌▋▊▉") }

// race is a bar for each variant of the phase.
func (v view) race(b board, s *Screen) []string {
	names, values := 0, 0
	for _, r := range b.rows {
		names, values = max(names, terminal.Width(r.name())), max(values, terminal.Width(b.format(r.value)))
	}
	names = min(names, v.width/3)
	length := v.width - names - values - 5
	full := b.full()
	lines := v.wrap(b.about(), v.width)
	for _, r := range b.rows {
		name := terminal.Parts{r.name()}.Fit(names)
		name += strings.Repeat(" ", max(names-terminal.Width(name), 0))
		drawn := r.value
		mark := " "
		if r.variant == s.Variant {
			mark = "▸"
			if !r.live {
				drawn *= v.grown
			}
		}
		bar := barOf(drawn, full, length)
		value := b.format(r.value)
		line := fmt.Sprintf("%s%s ", mark, name) + hue(v.lab, r.variant).Sprint(bar) + " " + value
		if length < 3 {
			line = fmt.Sprintf("%s%s %s", mark, name, value)
		}
		lines = append(lines, line)
	}
	return lines
}

// about is the board's caption: the metric, and what the values are.
func (b board) about() string {
	most := 0
	for _, r := range b.rows {
		most = max(most, r.n)
	}
	if most > 1 {
		return fmt.Sprintf("%s, median of %d", b.caption, most)
	}
	return b.caption
}

func (r row) name() string { return strings.TrimSpace(r.variant + " " + r.label) }

func barOf(value, full float64, length int) string {
	if math.IsNaN(value) || full <= 0 || length < 1 || value < 0 {
		return ""
	}
	n := int(math.Round(value / full * float64(8*length)))
	n = min(n, 8*length)
	bar := strings.Repeat("█", n/8)
	if rest := n % 8; rest > 0 {
		bar += string(eighths()[rest])
	}
	return bar
}

// hue is the colour of a data path, the same on every screen.
func hue(lab *labs.Lab, variant string) text.Color {
	if lab != nil {
		for _, v := range lab.Spec.Variants {
			if v.Name == variant {
				return hueOf(v)
			}
		}
	}
	return text.FgHiWhite
}

func hueOf(v testbed.Variant) text.Color {
	switch {
	case v.DataPath == testbed.DataPathNone:
		return text.FgHiWhite
	case v.DataPath == testbed.DataPathKubeProxy:
		return text.FgHiYellow
	case v.DataPath == testbed.DataPathDNATOnly:
		return text.FgHiMagenta
	case v.Mode == services.ModeSNAT:
		return text.FgHiRed
	}
	return text.FgHiCyan
}

// verdicts is the end of the show.
func (v view) verdicts(s results.Summary) []string {
	var all [][]string
	for _, reason := range s.Reasons {
		all = append(all, v.wrap(reason, v.width))
	}
	var b bytes.Buffer
	if err := console.Verdicts(terminal.Fixed{Writer: &b, Width: v.width}, []results.Summary{s}, console.VerdictOptions{}); err != nil {
		all = append(all, v.wrap(err.Error(), v.width))
	}
	return paragraphs(append(all, strings.Split(strings.TrimRight(b.String(), "\n"), "\n")))
}

// keys is the last line: what runs, what the keys do, and what is below.
func (v view) keys(offset, last int) string {
	s := v.show.Screen()
	var parts []string
	switch {
	case v.hint != "":
		parts = []string{v.hint}
	case v.show.summary != nil:
		parts = []string{"[q] quit"}
	case v.show.ending:
		parts = []string{"taking everything down …"}
	case s.State == Running:
		state := fmt.Sprintf("running %d s", int(v.elapsed.Seconds()))
		if s.Trial != "" {
			state += " (" + s.Trial + ")"
		}
		parts = []string{state, "[s] skip", "[ctrl+c] stop", "[q] quit"}
	case s.State == Announced:
		parts = []string{"[space] run", "[b] back", "[s] skip", "[q] quit"}
	default:
		parts = []string{"[space] next", "[b] back", "[r] repeat", "[q] quit"}
	}
	below := ""
	switch {
	case last > 0 && offset < last:
		below = fmt.Sprintf("[↓] %d more", last-offset)
	case last > 0:
		below = "[↑] back up"
	}
	room := v.width - 2
	if below != "" {
		room -= terminal.Width(below) + 1
	}
	line := " " + v.fit(parts, room)
	if below != "" {
		line += strings.Repeat(" ", max(v.width-1-terminal.Width(line)-terminal.Width(below), 1)) + below
	}
	if terminal.Width(line) > v.width {
		line = terminal.Parts{line}.Fit(v.width)
	}
	return text.Bold.Sprint(line)
}

// fit joins as many parts as fit; the last one, how to leave, stays longest.
func (v view) fit(parts []string, room int) string {
	for len(parts) > 1 && terminal.Width(strings.Join(parts, "  ")) > room {
		i := max(len(parts)-2, 1)
		if len(parts) == 2 {
			i = 1
		}
		parts = append(parts[:i:i], parts[i+1:]...)
	}
	return terminal.Parts{strings.Join(parts, "  ")}.Fit(room)
}

package main

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"image/color"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/vt"
)

// Sizes of the picture, in its own units. A character of a monospaced font is 0.6 times as wide as it is high.
const (
	cellWidth, cellHeight = 8.4, 18.0
	fontSize              = 14
	margin                = 12.0
	longest               = 4 * time.Second // no screen stands longer in the picture
	foreground            = "#e6e6e6"
	background            = "#15181c"
)

// frame is what stood on the screen, and for how long.
type frame struct {
	rows []string // SVG of each row that is not empty
	time time.Duration
}

// drawSVG writes the cast as a moving picture: the screens that stood still, one after the other, again and again. Whoever prefers no
// motion sees the last one. It needs no script and nothing else.
func drawSVG(w io.Writer, c cast) error {
	frames := framesOf(c)
	if len(frames) == 0 {
		return fmt.Errorf("nothing stood on the screen for %v", settled)
	}
	width, height := float64(c.Columns)*cellWidth+2*margin, float64(c.Rows)*cellHeight+2*margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" role="img" aria-label="%s">`+"\n", width, height, escape("Recording of "+c.Title))
	fmt.Fprintf(&b, "<title>%s</title>\n<style>\n", escape("Recording of "+c.Title))
	fmt.Fprintf(&b, "text{font:%dpx ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre;fill:%s}\n.b{font-weight:bold}.d{opacity:.65}.u{text-decoration:underline}\n", fontSize, foreground)
	fmt.Fprintf(&b, "#s{transform:translateY(%gpx);animation:s %gs step-end infinite}\n@keyframes s{\n", -float64(len(frames)-1)*height, total(frames).Seconds())
	var at time.Duration
	for i, f := range frames {
		fmt.Fprintf(&b, "%.3f%%{transform:translateY(%gpx)}\n", 100*at.Seconds()/total(frames).Seconds(), -float64(i)*height)
		at += f.time
	}
	fmt.Fprintf(&b, "}\n@media (prefers-reduced-motion:reduce){#s{animation:none}}\n</style>\n")
	fmt.Fprintf(&b, `<rect width="%g" height="%g" rx="8" fill="%s"/>`+"\n"+`<g id="s">`+"\n", width, height, background)
	for i, f := range frames {
		fmt.Fprintf(&b, `<g transform="translate(%g %g)">`+"\n%s</g>\n", margin, margin+float64(i)*height, strings.Join(f.rows, ""))
	}
	b.WriteString("</g>\n</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func total(frames []frame) time.Duration {
	var sum time.Duration
	for _, f := range frames {
		sum += f.time
	}
	return sum
}

// framesOf returns the screens that stood still. A screen that comes again at once is one.
func framesOf(c cast) []frame {
	terminal := vt.NewEmulator(c.Columns, c.Rows)
	defer terminal.Close()
	go func() { _, _ = io.Copy(io.Discard, terminal) }() // what it answers
	var frames []frame
	for i, e := range c.Events {
		_, _ = terminal.WriteString(e.Text)
		stood := longest
		if i+1 < len(c.Events) {
			stood = min(c.Events[i+1].At-e.At, longest)
		}
		if stood < settled {
			continue
		}
		rows := drawScreen(terminal)
		if last := len(frames) - 1; last >= 0 && slices.Equal(frames[last].rows, rows) {
			frames[last].time = min(frames[last].time+stood, longest)
			continue
		}
		if len(rows) > 0 {
			frames = append(frames, frame{rows, stood})
		}
	}
	return frames
}

// style is how characters look.
type style struct {
	fill, back, class string
}

// drawScreen draws each row as runs of characters that look the same.
func drawScreen(terminal *vt.Emulator) []string {
	var rows []string
	for y := range terminal.Height() {
		var row strings.Builder
		for x := 0; x < terminal.Width(); {
			look, text, from := lookAt(terminal, x, y), "", x
			for x < terminal.Width() && lookAt(terminal, x, y) == look {
				cell := terminal.CellAt(x, y)
				text += cmp.Or(cell.Content, " ")
				x += max(cell.Width, 1)
			}
			row.WriteString(drawRun(look, text, from, x, y))
		}
		if row.Len() > 0 {
			rows = append(rows, row.String())
		}
	}
	return rows
}

// lookAt is the style of a cell.
func lookAt(terminal *vt.Emulator, x, y int) style {
	cell := terminal.CellAt(x, y)
	if cell == nil {
		return style{}
	}
	s := style{fill: hex(cell.Style.Fg), back: hex(cell.Style.Bg)}
	if cell.Style.Attrs&uv.AttrReverse != 0 {
		s.fill, s.back = cmp.Or(s.back, background), cmp.Or(s.fill, foreground)
	}
	var classes []string
	if cell.Style.Attrs&uv.AttrBold != 0 {
		classes = append(classes, "b")
	}
	if cell.Style.Attrs&uv.AttrFaint != 0 {
		classes = append(classes, "d")
	}
	if cell.Style.Underline != 0 {
		classes = append(classes, "u")
	}
	s.class = strings.Join(classes, " ")
	return s
}

// drawRun draws characters from column from up to column to. They are as wide as their cells whatever font there is, and full blocks
// leave no gap between lines.
func drawRun(look style, text string, from, to, y int) string {
	x, top, width := float64(from)*cellWidth, float64(y)*cellHeight, float64(to-from)*cellWidth
	var b strings.Builder
	if look.back != "" {
		fmt.Fprintf(&b, `<rect x="%.1f" y="%g" width="%.1f" height="%g" fill="%s"/>`, x, top, width, cellHeight, look.back)
	}
	for column, word := from, ""; text != ""; column += utf8.RuneCountInString(word) {
		word, text = nextWord(text)
		x, width := float64(column)*cellWidth, float64(utf8.RuneCountInString(word))*cellWidth
		switch {
		case strings.Trim(word, " ") == "":
		case strings.HasPrefix(word, fullBlock):
			fmt.Fprintf(&b, `<rect x="%.1f" y="%g" width="%.1f" height="%g" fill="%s"/>`, x, top, width, cellHeight, cmp.Or(look.fill, foreground))
		default:
			fmt.Fprintf(&b, `<text x="%.1f" y="%g" textLength="%.1f" lengthAdjust="spacingAndGlyphs"%s%s>%s</text>`, x, top+fontSize, width,
				attribute("style", "fill:", look.fill), attribute("class", "", look.class), escape(word))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return b.String() + "\n"
}

// fullBlock is U+2588, of which fonts leave a part free.
const fullBlock = "█"

// nextWord splits off what is drawn as one: blocks, or blanks, or characters with single blanks between them.
func nextWord(text string) (word, rest string) {
	for _, of := range []string{fullBlock, " "} {
		if rest := strings.TrimLeft(text, of); rest != text {
			return text[:len(text)-len(rest)], rest
		}
	}
	end := len(text)
	for _, stop := range []string{fullBlock, "  "} {
		if i := strings.Index(text, stop); i >= 0 {
			end = min(end, i)
		}
	}
	word = strings.TrimRight(text[:end], " ")
	return word, text[len(word):]
}

func attribute(name, prefix, value string) string {
	if value == "" {
		return ""
	}
	return fmt.Sprintf(` %s="%s%s"`, name, prefix, value)
}

// hex is a colour as CSS has it; empty for the terminal's own.
func hex(c color.Color) string {
	if c == nil {
		return ""
	}
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8)
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a builder takes all
	return b.String()
}

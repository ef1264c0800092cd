package present

import "strings"

// glyphRows is the height of a glyph in pixels.
const glyphRows = 5

// glyph returns the pixels of a character of a figure, row by row; nil for one that has none.
func glyph(r rune) []string {
	switch r {
	case '0':
		return []string{"###", "# #", "# #", "# #", "###"}
	case '1':
		return []string{" # ", "## ", " # ", " # ", "###"}
	case '2':
		return []string{"###", "  #", "###", "#  ", "###"}
	case '3':
		return []string{"###", "  #", "###", "  #", "###"}
	case '4':
		return []string{"# #", "# #", "###", "  #", "  #"}
	case '5':
		return []string{"###", "#  ", "###", "  #", "###"}
	case '6':
		return []string{"###", "#  ", "###", "# #", "###"}
	case '7':
		return []string{"###", "  #", "  #", " # ", " # "}
	case '8':
		return []string{"###", "# #", "###", "# #", "###"}
	case '9':
		return []string{"###", "# #", "###", "  #", "###"}
	case '.':
		return []string{" ", " ", " ", " ", "#"}
	case ',':
		return []string{"  ", "  ", "  ", " #", "# "}
	case '-':
		return []string{"   ", "   ", "###", "   ", "   "}
	case '%':
		return []string{"# #", "  #", " # ", "#  ", "# #"}
	case ' ':
		return []string{" ", " ", " ", " ", " "}
	}
	return nil
}

// digits writes the number at the beginning of a figure large, and what follows it, the unit, beside its last line. Tall ones have five
// lines and two columns to a pixel; others three lines. It returns nil for a figure that does not begin with a number.
func digits(figure string, tall bool) []string {
	number, unit, _ := strings.Cut(figure, " ")
	if unit == "%" {
		number, unit = figure, ""
	}
	pixels := make([]strings.Builder, glyphRows)
	for i, r := range number {
		g := glyph(r)
		if g == nil {
			return nil
		}
		for y := range pixels {
			if i > 0 {
				pixels[y].WriteByte(' ')
			}
			pixels[y].WriteString(g[y])
		}
	}
	var lines []string
	if tall {
		for y := range pixels {
			lines = append(lines, strings.NewReplacer("#", "██", " ", "  ").Replace(pixels[y].String()))
		}
	} else {
		for y := 0; y < glyphRows; y += 2 {
			lower := ""
			if y+1 < glyphRows {
				lower = pixels[y+1].String()
			}
			lines = append(lines, halves(pixels[y].String(), lower))
		}
	}
	if unit != "" {
		lines[len(lines)-1] += "  " + unit
	}
	return lines
}

// halves draws two rows of pixels as one line.
func halves(upper, lower string) string {
	var b strings.Builder
	for i := range len(upper) {
		switch low := i < len(lower) && lower[i] == '#'; {
		case upper[i] == '#' && low:
			b.WriteRune('█')
		case upper[i] == '#':
			b.WriteRune('▀')
		case low:
			b.WriteRune('▄')
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}

package usage

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs/terminal"
)

// FitHelp has the help of a command, and of all below it, fit the terminal, or 80 columns where there is none.
func FitHelp(root *cobra.Command) {
	show := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		out := cmd.OutOrStdout()
		var text bytes.Buffer
		cmd.SetOut(&text)
		show(cmd, args)
		cmd.SetOut(out)
		fmt.Fprintln(out, fit(strings.TrimSpace(text.String()), terminal.ColumnsOr(out, terminal.ProseColumns)))
	})
}

// leastText is the width below which a text goes under what is described instead of beside it.
const leastText = 24

// described is what a line of two columns describes, a flag or a command, and the blanks up to its text; or a line's indent.
var described = regexp.MustCompile(`^[ \t]+(?:\S+(?: \S+)* {2,})?`)

// fit breaks the lines of a help text that are too long. A paragraph is filled anew, as it was broken for another width. Examples stay as
// they are, to be copied.
func fit(text string, columns int) string {
	var fitted, paragraph []string
	example := false
	endParagraph := func() {
		if paragraph != nil {
			fitted = append(fitted, terminal.Wrap(strings.Join(paragraph, " "), columns))
			paragraph = nil
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		label := described.FindString(line)
		if line != "" && label == "" {
			example = line == "Examples:"
			paragraph = append(paragraph, line)
			continue
		}
		endParagraph()
		switch {
		case example || terminal.Width(line) <= columns:
		case columns-terminal.Width(label) >= leastText:
			line = terminal.Hang(label, line[len(label):], columns)
		default:
			line = strings.TrimRight(label, " ") + "\n" + terminal.Hang("        ", line[len(label):], columns)
		}
		fitted = append(fitted, line)
	}
	endParagraph()
	return strings.Join(fitted, "\n")
}

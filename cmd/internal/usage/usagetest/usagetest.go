// Package usagetest has the tests that all programs' command lines share.
package usagetest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/terminal"
)

// HelpFits fails where the help of a program or of one of its commands has a line of more than 80 columns. Lines of examples may be longer:
// they are there to be copied.
func HelpFits(t *testing.T, newRoot func() *cobra.Command) {
	t.Helper()
	var check func(*cobra.Command)
	check = func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		root := newRoot() // a command line that was parsed leaves its flags set
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs(append(path, "--help"))
		require.NoError(t, root.Execute())
		assert.Contains(t, out.String(), "Usage:", c.CommandPath())
		for line := range strings.Lines(out.String()) {
			line = strings.TrimRight(line, "\n")
			if !strings.Contains(c.Example, line) {
				assert.LessOrEqual(t, terminal.Width(line), terminal.ProseColumns, "%s: %s", c.CommandPath(), line)
			}
		}
		for _, below := range c.Commands() {
			check(below)
		}
	}
	root := newRoot()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	check(root)
}

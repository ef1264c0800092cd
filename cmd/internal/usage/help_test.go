package usage

import (
	"bytes"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/terminal"
)

func TestFitHelp(t *testing.T) {
	root := &cobra.Command{
		Use: "dsrlab", Short: "See where addresses go",
		Long: `Walks one real request
through all nodes, hop by hop.

Of a connection it shows two packets.`,
		Example: "  dsrlab trace client 185.150.8.128:8080 --protocol udp --output json",
		Run:     func(*cobra.Command, []string) {},
	}
	root.Flags().String("protocol", "tcp", "tcp or udp, which is what the request is sent over")
	root.CompletionOptions.DisableDefaultCmd = true
	FitHelp(root)
	for columns, want := range map[int]string{
		60: `Walks one real request through all nodes, hop by hop.

Of a connection it shows two packets.

Usage:
  dsrlab [flags]

Examples:
  dsrlab trace client 185.150.8.128:8080 --protocol udp --output json

Flags:
  -h, --help              help for dsrlab
      --protocol string   tcp or udp, which is what the
                          request is sent over (default
                          "tcp")
`,
		40: `Walks one real request through all
nodes, hop by hop.

Of a connection it shows two packets.

Usage:
  dsrlab [flags]

Examples:
  dsrlab trace client 185.150.8.128:8080 --protocol udp --output json

Flags:
  -h, --help
        help for dsrlab
      --protocol string
        tcp or udp, which is what the
        request is sent over (default
        "tcp")
`,
	} {
		var out bytes.Buffer
		root.SetOut(terminal.Fixed{Writer: &out, Width: columns})
		root.SetArgs([]string{"--help"})
		require.NoError(t, root.Execute())
		assert.Equal(t, want, out.String())
	}
}

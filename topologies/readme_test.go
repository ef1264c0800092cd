package topologies

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The examples of README.md can be built.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	require.Len(t, blocks, 2)
	for _, block := range blocks {
		example, _, closed := strings.Cut(block, "```\n")
		require.True(t, closed)
		plan := planOf(t, "README", []byte(example))
		require.NotEmpty(t, plan.EndpointSlices)
	}
}

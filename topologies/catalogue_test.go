package topologies

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCatalogue(t *testing.T) {
	require.Equal(t, []string{"dual-stack", "edge", "five-nodes", "local-policy", "proxies", "source-ip", "talk"}, Catalogue())
	for _, name := range Catalogue() {
		t.Run(name, func(t *testing.T) {
			topology, err := Lookup(name)
			require.NoError(t, err)
			assert.Equal(t, name, topology.Metadata.Name, "a topology has the name of its file")
			assert.NotEmpty(t, topology.Metadata.Description)
			source, err := Source(name)
			require.NoError(t, err)
			assert.True(t, bytes.HasPrefix(source, []byte("# yaml-language-server: $schema=schema/topology.schema.json\n")))
		})
	}
}

func TestLookupUnknown(t *testing.T) {
	_, err := Lookup("tlak")
	require.EqualError(t, err, `look up topology: there is none named "tlak": did you mean "talk"?`)
	_, err = Lookup("../secret")
	require.EqualError(t, err, `look up topology: there is none named "../secret": want one of dual-stack, edge, five-nodes, local-policy, proxies, source-ip, talk`)
}

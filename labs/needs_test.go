package labs

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Of the catalogue's labs those in which LB nodes die, or the network misbehaves, need nodes that are namespaces.
func TestNeedsOnKind(t *testing.T) {
	needs, err := Needs()
	require.NoError(t, err)
	only := map[string]string{}
	for _, n := range needs {
		if n.OnlyNetns != "" {
			only[n.Name] = n.OnlyNetns
		}
	}
	assert.Equal(t, map[string]string{
		"13-failover":      "an LB node that dies on substrate kind",
		"14-would-it-work": "a network that misbehaves on purpose on substrate kind",
	}, only)
}

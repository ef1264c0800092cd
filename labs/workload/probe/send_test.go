package probe

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A neighbour that did not answer is asked again only after some time.
func TestHopToNeighbourThatDidNotAnswer(t *testing.T) {
	silent, entered := errors.New("no answer"), errors.New("looked again")
	to := netip.MustParseAddr("192.0.2.1")
	agent := &Agent{enter: func(func() error) error { return entered }, failed: map[netip.Addr]failure{to: {silent, time.Now()}}}
	_, err := agent.hopTo(t.Context(), to)
	assert.ErrorIs(t, err, silent)
	_, err = agent.hopTo(t.Context(), netip.MustParseAddr("192.0.2.2"))
	assert.ErrorIs(t, err, entered)
	agent.failed[to] = failure{silent, time.Now().Add(-failedFor)}
	_, err = agent.hopTo(t.Context(), to)
	assert.ErrorIs(t, err, entered)
}

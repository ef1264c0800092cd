package prober

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// A dead node is waited for at full length once, and then once for all copies of a probe.
func TestObserveDeadNode(t *testing.T) {
	m, site := newModel("a", "b", "c")
	m.lose = func(from, to string, _ probe.Probe) bool { return to == "b" }
	var steps []string
	_, err := Observe(t.Context(), site, Options{Idle: NoIdle, Patience: 4 * time.Millisecond, OnStep: func(step string) { steps = append(steps, step) }})
	require.NoError(t, err)
	for _, from := range []string{"a", "c", "client"} {
		want := from + " → b: no datagram arrives, so the next waits are shorter"
		n := 0
		for _, step := range steps {
			if step == want {
				n++
			}
		}
		assert.Equal(t, 1, n, "%s in %q", want, steps)
	}
	const first, tries = 4, 4 // the last copies of a direct probe, and of three tunnels
	assert.LessOrEqual(t, m.markers["a"][m.machines["b"].address], (first+tries)*flows)
	assert.Positive(t, m.markers["a"][m.machines["b"].address])
}

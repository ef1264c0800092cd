package workload

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTally(t *testing.T) {
	assert.Equal(t, "14 timeout, 3 ok, 3 refused", Tally(map[Outcome]int{OutcomeRefused: 3, OutcomeTimeout: 14, OutcomeOK: 3, OutcomeReset: 0}))
	assert.Equal(t, "none", Tally(map[Outcome]int(nil)))
}

package labs

import (
	"fmt"

	"github.com/dsrlab/dsrlab/results"
)

// saturated is the share of CPU time above which a measurement says more of the machine than of the lab.
const saturated = 0.97

// watch looks at the machine and the LB nodes' ports while something is measured.
type watch struct {
	t      *turn
	before results.Environment
	drops  uint64
}

// watched is what it saw.
type watched struct {
	drops   uint64  // at the LB nodes' ports, in both directions
	busy    float64 // share of all CPUs' time
	invalid string
}

func (t *turn) watch() (*watch, error) {
	drops, err := t.lbPortDrops()
	return &watch{t: t, before: results.ReadEnvironment(), drops: drops}, err
}

func (w *watch) stop() (watched, error) {
	after := results.ReadEnvironment()
	drops, err := w.t.lbPortDrops()
	if err != nil {
		return watched{}, err
	}
	busy, steal := results.Environments{Before: w.before, After: &after}.Busy()
	seen := watched{drops: drops - w.drops, busy: busy}
	if busy+steal > saturated {
		seen.invalid = fmt.Sprintf("the CPUs were saturated: %.0f %% busy, %.0f %% stolen", busy*100, steal*100)
	}
	return seen, nil
}

func (t *turn) lbPortDrops() (uint64, error) {
	var sum uint64
	for _, n := range t.stand.LBNodes() {
		toNode, fromNode, err := t.stand.Lab().PortStats(n.Name)
		if err != nil {
			return 0, err
		}
		sum += toNode.Drops + fromNode.Drops
	}
	return sum, nil
}

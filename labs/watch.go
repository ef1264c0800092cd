package labs

import (
	"time"

	"github.com/dsrlab/dsrlab/labs/measure"
	"github.com/dsrlab/dsrlab/results"
)

// watch looks at the machine and the LB nodes' ports while something is measured.
type watch struct {
	t       *trial
	before  results.Environment
	ports   []measure.Port
	replies uint64
	began   time.Time
	pause   func() time.Duration
}

// watched is what it saw.
type watched struct {
	busy float64 // share of all CPUs' time
	// disturbed is why what was measured meanwhile says more of the machine than of the lab; empty if it doesn't. CPUs that are busy are
	// no reason: the scale of the run leaves what others use.
	disturbed string
	drops     uint64 // at the LB nodes' ports, in both directions
	bytes     uint64 // that crossed those ports, in both directions, from the Ethernet header on
	replies   uint64 // of those, bytes of answers
}

func (t *trial) watch() (*watch, error) {
	ports, err := t.lbPorts()
	if err != nil {
		return nil, err
	}
	replies, err := t.replyBytes()
	return &watch{t: t, before: results.ReadEnvironment(), ports: ports, replies: replies, began: time.Now(), pause: measure.WatchPauses()}, err
}

func (w *watch) stop() (watched, error) {
	took, pause := time.Since(w.began), w.pause()
	after := results.ReadEnvironment()
	ports, err := w.t.lbPorts()
	if err != nil {
		return watched{}, err
	}
	replies, err := w.t.replyBytes()
	if err != nil {
		return watched{}, err
	}
	busy, _ := results.Environments{Before: w.before, After: &after}.Busy()
	seen := watched{busy: busy, replies: replies - w.replies}
	for i, p := range ports {
		p = p.Since(w.ports[i])
		seen.drops += p.ToNode.Drops + p.FromNode.Drops
		seen.bytes += p.ToNode.Bytes + p.FromNode.Bytes
	}
	seen.disturbed = measure.DescribePause(pause, took)
	return seen, nil
}

func (t *trial) lbPorts() ([]measure.Port, error) {
	return measure.Ports(t.testbed, t.lbNames()...)
}

func (t *trial) lbNames() []string {
	var names []string
	for _, n := range t.testbed.LBNodes() {
		names = append(names, n.Name)
	}
	return names
}

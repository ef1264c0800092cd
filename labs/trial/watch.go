package trial

import (
	"time"

	"github.com/dsrlab/dsrlab/labs/measure"
	"github.com/dsrlab/dsrlab/results"
)

// Watch looks at the machine and the LB nodes' ports while something is measured.
type Watch struct {
	t       *Attempt
	before  results.Environment
	ports   []measure.Port
	replies uint64
	began   time.Time
	pause   func() time.Duration
}

// Watched is what a Watch saw.
type Watched struct {
	Busy float64 // share of all CPUs' time
	// Disturbed is why what was measured meanwhile says more of the machine than of the lab; empty if it doesn't. CPUs that are busy are
	// no reason: the scale of the run leaves what others use.
	Disturbed string
	Drops     uint64 // at the LB nodes' ports, in both directions
	Bytes     uint64 // that crossed those ports, in both directions, from the Ethernet header on
	Replies   uint64 // of those, bytes of answers
}

// Watch begins to look at the machine and the LB nodes' ports.
func (t *Attempt) Watch() (*Watch, error) {
	ports, err := t.lbPorts()
	if err != nil {
		return nil, err
	}
	replies, err := t.replyBytes()
	return &Watch{t: t, before: results.ReadEnvironment(), ports: ports, replies: replies, began: time.Now(), pause: measure.WatchPauses()}, err
}

// Stop returns what was seen.
func (w *Watch) Stop() (Watched, error) {
	took, pause := time.Since(w.began), w.pause()
	after := results.ReadEnvironment()
	ports, err := w.t.lbPorts()
	if err != nil {
		return Watched{}, err
	}
	replies, err := w.t.replyBytes()
	if err != nil {
		return Watched{}, err
	}
	busy, _ := results.Environments{Before: w.before, After: &after}.Busy()
	seen := Watched{Busy: busy, Replies: replies - w.replies}
	for i, p := range ports {
		p = p.Since(w.ports[i])
		seen.Drops += p.ToNode.Drops + p.FromNode.Drops
		seen.Bytes += p.ToNode.Bytes + p.FromNode.Bytes
	}
	seen.Disturbed = measure.DescribePause(pause, took)
	return seen, nil
}

func (t *Attempt) lbPorts() ([]measure.Port, error) {
	return measure.Ports(t.Testbed, t.LBNames()...)
}

package labs

import (
	"fmt"
	"time"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

const (
	// pauseTick is how often the watch looks at the clock, to see whether the machine stood still.
	pauseTick = 10 * time.Millisecond
	// A machine that stood still for so long, and for so large a part of the time in which something was measured, disturbed it.
	pauseLimit = 250 * time.Millisecond
	pauseShare = 0.1
)

// watch looks at the machine and the LB nodes' ports while something is measured.
type watch struct {
	t       *trial
	before  results.Environment
	ports   []port
	replies uint64
	began   time.Time
	pause   func() time.Duration
}

// port is an LB node's, and what has crossed it.
type port struct{ toNode, fromNode shape.Stats }

// watched is what it saw.
type watched struct {
	busy float64 // share of all CPUs' time
	// disturbed is why what was measured meanwhile says more of the machine than of the lab; empty if it doesn't. CPUs that are busy are
	// no reason: the scale of the run leaves what others use.
	disturbed string
	drops     uint64 // at the LB nodes' ports, in both directions
	bytes     uint64 // that crossed those ports, in both directions, from the Ethernet header on
	replies   uint64 // of those, bytes of answers
	ports     []port // counted since the begin
}

func (t *trial) watch() (*watch, error) {
	ports, err := t.lbPorts()
	if err != nil {
		return nil, err
	}
	replies, err := t.replyBytes()
	return &watch{t: t, before: results.ReadEnvironment(), ports: ports, replies: replies, began: time.Now(), pause: longestPause()}, err
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
		p = port{since(p.toNode, w.ports[i].toNode), since(p.fromNode, w.ports[i].fromNode)}
		seen.ports = append(seen.ports, p)
		seen.drops += p.toNode.Drops + p.fromNode.Drops
		seen.bytes += p.toNode.Bytes + p.fromNode.Bytes
	}
	seen.disturbed = describePause(pause, took)
	return seen, nil
}

// longestPause watches how long the machine stands still at most, until the returned function is called.
func longestPause() (stop func() time.Duration) {
	done, result := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		tick := time.NewTicker(pauseTick)
		defer tick.Stop()
		longest, last := time.Duration(0), time.Now()
		for {
			select {
			case <-tick.C:
				longest, last = max(longest, time.Since(last)-pauseTick), time.Now()
			case <-done:
				result <- max(longest, time.Since(last)-pauseTick)
				return
			}
		}
	}()
	return func() time.Duration {
		close(done)
		return <-result
	}
}

// describePause is why a pause disturbed what took so long; empty if it didn't.
func describePause(pause, took time.Duration) string {
	if pause <= pauseLimit || pause.Seconds() <= pauseShare*took.Seconds() {
		return ""
	}
	return fmt.Sprintf("the machine stood still for %.1f s of %.1f s", pause.Seconds(), took.Seconds())
}

func (t *trial) lbPorts() ([]port, error) {
	return t.portsOf(t.lbNames())
}

func (t *trial) lbNames() []string {
	var names []string
	for _, n := range t.testbed.LBNodes() {
		names = append(names, n.Name)
	}
	return names
}

// since is what a direction has counted since before.
func since(now, before shape.Stats) shape.Stats {
	now.Bytes -= before.Bytes
	now.Packets -= before.Packets
	now.Drops -= before.Drops
	return now
}

// use is the part of its rate that the busiest direction of all ports carried over a time, with what each frame costs on the
// wire; 0 if none is shaped.
func (w watched) use(over time.Duration) float64 {
	most := 0.0
	for _, p := range w.ports {
		for _, s := range []shape.Stats{p.toNode, p.fromNode} {
			if s.Shape.Rate == 0 || over <= 0 {
				continue
			}
			bytes := float64(s.Bytes) + float64(s.Packets)*float64(*s.Shape.Overhead)
			most = max(most, 8*bytes/over.Seconds()/float64(s.Shape.Rate))
		}
	}
	return most
}

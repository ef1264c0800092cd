package labs

import (
	"fmt"
	"time"

	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// saturated is the share of CPU time above which a measurement says more of the machine than of the lab.
const saturated = 0.97

// watch looks at the machine and the LB nodes' ports while something is measured.
type watch struct {
	t       *turn
	before  results.Environment
	ports   []port
	replies uint64
}

// port is an LB node's, and what has crossed it.
type port struct{ toNode, fromNode shape.Stats }

// watched is what it saw.
type watched struct {
	busy    float64 // share of all CPUs' time
	invalid string
	drops   uint64 // at the LB nodes' ports, in both directions
	bytes   uint64 // that crossed those ports, in both directions, from the Ethernet header on
	replies uint64 // of those, bytes of answers
	ports   []port // counted since the begin
}

func (t *turn) watch() (*watch, error) {
	ports, err := t.lbPorts()
	if err != nil {
		return nil, err
	}
	replies, err := t.replyBytes()
	return &watch{t: t, before: results.ReadEnvironment(), ports: ports, replies: replies}, err
}

func (w *watch) stop() (watched, error) {
	after := results.ReadEnvironment()
	ports, err := w.t.lbPorts()
	if err != nil {
		return watched{}, err
	}
	replies, err := w.t.replyBytes()
	if err != nil {
		return watched{}, err
	}
	busy, steal := results.Environments{Before: w.before, After: &after}.Busy()
	seen := watched{busy: busy, replies: replies - w.replies}
	for i, p := range ports {
		p = port{since(p.toNode, w.ports[i].toNode), since(p.fromNode, w.ports[i].fromNode)}
		seen.ports = append(seen.ports, p)
		seen.drops += p.toNode.Drops + p.fromNode.Drops
		seen.bytes += p.toNode.Bytes + p.fromNode.Bytes
	}
	if busy+steal > saturated {
		seen.invalid = fmt.Sprintf("the CPUs were saturated: %.0f %% busy, %.0f %% stolen", busy*100, steal*100)
	}
	return seen, nil
}

func (t *turn) lbPorts() ([]port, error) {
	return t.portsOf(t.lbNames())
}

func (t *turn) lbNames() []string {
	var names []string
	for _, n := range t.stand.LBNodes() {
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

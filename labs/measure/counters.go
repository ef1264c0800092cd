// Package measure finds out what a testbed's links and machine carry, before and while a lab measures: counters of ports over time
// (Follow, Between, Use), links against their rates (Calibrate, WiresCeiling), what the machine carries at all (Probe), and moments in
// which it stood still (WatchPauses).
package measure

import (
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// followTick is the interval at which Follow reads the counters of ports.
const followTick = 50 * time.Millisecond

// Port holds the counters of a node's port, in both directions.
type Port struct{ ToNode, FromNode shape.Stats }

// Since returns what the port has counted since before.
func (p Port) Since(before Port) Port {
	return Port{since(p.ToNode, before.ToNode), since(p.FromNode, before.FromNode)}
}

// since is what a direction has counted since before.
func since(now, before shape.Stats) shape.Stats {
	now.Bytes -= before.Bytes
	now.Packets -= before.Packets
	now.Drops -= before.Drops
	return now
}

// Reading holds the counters of several ports at a time.
type Reading struct {
	At    time.Time
	Ports []Port
}

// Ports reads the counters of nodes' ports.
func Ports(tb *testbed.Testbed, nodes ...string) ([]Port, error) {
	ports := make([]Port, 0, len(nodes))
	for _, name := range nodes {
		toNode, fromNode, err := tb.Network().PortStats(name)
		if err != nil {
			return nil, err
		}
		ports = append(ports, Port{toNode, fromNode})
	}
	return ports, nil
}

// Follow reads the counters of nodes' ports every followTick, until stop is called.
func Follow(tb *testbed.Testbed, nodes ...string) (stop func() ([]Reading, error)) {
	var readings []Reading
	var group errgroup.Group
	done := make(chan struct{})
	group.Go(func() error {
		tick := time.NewTicker(followTick)
		defer tick.Stop()
		for last := false; ; {
			ports, err := Ports(tb, nodes...)
			if err != nil {
				return err
			}
			readings = append(readings, Reading{time.Now(), ports})
			if last {
				return nil
			}
			select {
			case <-tick.C:
			case <-done:
				last = true
			}
		}
	})
	return func() ([]Reading, error) {
		close(done)
		err := group.Wait()
		return readings, err
	}
}

// Between returns what followed ports carried from one time to another.
func Between(readings []Reading, from, until time.Time) []Port {
	before, after := portsAt(readings, from), portsAt(readings, until)
	var ports []Port
	for i := range after {
		ports = append(ports, after[i].Since(before[i]))
	}
	return ports
}

// portsAt returns what followed ports had carried by a time, with a constant rate between two readings; before the first reading and
// after the last it returns those readings.
func portsAt(readings []Reading, at time.Time) []Port {
	for i, r := range readings {
		if r.At.Before(at) {
			continue
		}
		if i == 0 {
			return r.Ports
		}
		last := readings[i-1]
		part := at.Sub(last.At).Seconds() / r.At.Sub(last.At).Seconds()
		ports := make([]Port, len(r.Ports))
		for j := range ports {
			ports[j] = Port{
				partOf(last.Ports[j].ToNode, r.Ports[j].ToNode, part),
				partOf(last.Ports[j].FromNode, r.Ports[j].FromNode, part),
			}
		}
		return ports
	}
	if len(readings) == 0 {
		return nil
	}
	return readings[len(readings)-1].Ports
}

// partOf interpolates between two readings of a direction.
func partOf(a, b shape.Stats, part float64) shape.Stats {
	of := func(a, b uint64) uint64 { return a + uint64(part*float64(b-a)) }
	a.Bytes, a.Packets, a.Drops = of(a.Bytes, b.Bytes), of(a.Packets, b.Packets), of(a.Drops, b.Drops)
	return a
}

// Use is the part of its rate that the busiest direction of all ports carried over a time, with what each frame costs on the wire; 0
// if none is limited.
func Use(ports []Port, over time.Duration) float64 {
	most := 0.0
	for _, p := range ports {
		for _, s := range []shape.Stats{p.ToNode, p.FromNode} {
			if s.Shape.Rate > 0 && over > 0 {
				most = max(most, 8*wireBytes(s)/over.Seconds()/float64(s.Shape.Rate))
			}
		}
	}
	return most
}

// wireBytes are what a limited direction carried, with each frame's overhead; 0 if it has no limit.
func wireBytes(s shape.Stats) float64 {
	if s.Shape.Rate == 0 || s.Shape.Overhead == nil {
		return 0
	}
	return float64(s.Bytes) + float64(s.Packets)*float64(*s.Shape.Overhead)
}

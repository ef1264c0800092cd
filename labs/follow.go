package labs

import (
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dsrlab/dsrlab/topologies/shape"
)

// followTick is the interval at which follow reads the counters of ports.
const followTick = 50 * time.Millisecond

// counted holds the counters of nodes' ports at a time.
type counted struct {
	at    time.Time
	ports []port
}

// follow reads the counters of nodes' ports every followTick, until stop is called.
func (x *execution) follow(nodes ...string) (stop func() ([]counted, error)) {
	var counts []counted
	var group errgroup.Group
	done := make(chan struct{})
	group.Go(func() error {
		tick := time.NewTicker(followTick)
		defer tick.Stop()
		for last := false; ; {
			ports, err := x.portsOf(nodes)
			if err != nil {
				return err
			}
			counts = append(counts, counted{time.Now(), ports})
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
	return func() ([]counted, error) {
		close(done)
		err := group.Wait()
		return counts, err
	}
}

// portsOf returns the counters of nodes' ports.
func (x *execution) portsOf(nodes []string) ([]port, error) {
	ports := make([]port, 0, len(nodes))
	for _, name := range nodes {
		toNode, fromNode, err := x.testbed.Network().PortStats(name)
		if err != nil {
			return nil, err
		}
		ports = append(ports, port{toNode, fromNode})
	}
	return ports, nil
}

// between returns what followed ports carried from one time to another.
func between(counts []counted, from, until time.Time) watched {
	before, after := portsAt(counts, from), portsAt(counts, until)
	var seen watched
	for i := range after {
		seen.ports = append(seen.ports, port{since(after[i].toNode, before[i].toNode), since(after[i].fromNode, before[i].fromNode)})
	}
	return seen
}

// portsAt returns what followed ports had carried by a time, with a constant rate between two readings; before the first reading and
// after the last it returns those readings.
func portsAt(counts []counted, at time.Time) []port {
	for i, c := range counts {
		if c.at.Before(at) {
			continue
		}
		if i == 0 {
			return c.ports
		}
		last := counts[i-1]
		part := at.Sub(last.at).Seconds() / c.at.Sub(last.at).Seconds()
		ports := make([]port, len(c.ports))
		for j := range ports {
			ports[j] = port{
				partOf(last.ports[j].toNode, c.ports[j].toNode, part),
				partOf(last.ports[j].fromNode, c.ports[j].fromNode, part),
			}
		}
		return ports
	}
	if len(counts) == 0 {
		return nil
	}
	return counts[len(counts)-1].ports
}

// partOf interpolates between two readings of a direction.
func partOf(a, b shape.Stats, part float64) shape.Stats {
	of := func(a, b uint64) uint64 { return a + uint64(part*float64(b-a)) }
	a.Bytes, a.Packets, a.Drops = of(a.Bytes, b.Bytes), of(a.Packets, b.Packets), of(a.Drops, b.Drops)
	return a
}

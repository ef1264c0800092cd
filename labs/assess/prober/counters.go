package prober

import (
	"cmp"
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// Counters are taken while nothing is probed, for shortest at least. Ports that carry less than quiet packets per second, all together,
// have nobody's calls: nothing can be said of their load.
const (
	shortest = time.Second
	quiet    = 100
)

// facts reads the facts of all nodes; those that can't be read are missing.
func (ob *observer) facts(ctx context.Context) map[string]*probe.Facts {
	all := make(map[string]*probe.Facts)
	for i := range ob.Nodes {
		name := ob.Nodes[i].Name
		facts, err := ob.stations[name].Facts(ctx)
		if err != nil {
			ob.unread(name, "counters of the node's port", err)
			continue
		}
		all[name] = facts
	}
	return all
}

// readCounters takes the counters where connections have not rested.
func (ob *observer) readCounters(ctx context.Context, _ bool) error {
	if len(ob.out.Counters) > 0 || ob.counted || ob.Idle < shortest {
		return nil
	}
	before := ob.facts(ctx)
	select {
	case <-time.After(min(ob.Idle, 5*shortest)):
	case <-ctx.Done():
		return nil
	}
	ob.count(ctx, before)
	return nil
}

// count adds what has passed the nodes' ports since the facts were read to the observations, once.
func (ob *observer) count(ctx context.Context, before map[string]*probe.Facts) {
	if ob.counted {
		return
	}
	var all []assess.Counters
	rate := 0.0
	for name, after := range ob.facts(ctx) {
		if before[name] == nil {
			continue
		}
		a, b := device(before[name]), device(after)
		interval := after.At.Sub(before[name].At)
		if a == nil || b == nil || interval < shortest {
			continue
		}
		c := assess.Counters{
			Node: name, Interval: metav1.Duration{Duration: interval}, BytesIn: b.BytesIn - a.BytesIn, BytesOut: b.BytesOut - a.BytesOut,
			PacketsIn: b.PacketsIn - a.PacketsIn, PacketsOut: b.PacketsOut - a.PacketsOut,
		}
		all = append(all, c)
		rate += float64(c.PacketsIn+c.PacketsOut) / interval.Seconds()
	}
	ob.counted = len(all) > 0
	if rate >= quiet {
		slices.SortFunc(all, func(a, b assess.Counters) int { return cmp.Compare(a.Node, b.Node) })
		ob.out.Counters = all
	}
}

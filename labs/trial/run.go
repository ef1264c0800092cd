// Package trial is what the steps of a lab find when they run: a testbed with a variant's data path on it, what watches both
// meanwhile, and the record that everything measured goes to.
package trial

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/labs/measure"
	"github.com/dsrlab/dsrlab/labs/proxies"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// Narrator is told what happens in a trial. Calls come one at a time.
type Narrator interface {
	// Notice tells something about the run as a whole: its scale, that it starts over.
	Notice(message string)
	// Rate tells the rate of a running transfer in bit/s; each one replaces the one before, and NaN ends it. Unlike the others it may be
	// called while another call runs.
	Rate(bitsPerSecond float64)
	// Evidence tells something that was seen.
	Evidence(variant, message string)
}

// Run is what all trials of one run of a lab share. On an existing cluster it has no testbed, and what follows from it is empty.
type Run struct {
	Testbed *testbed.Testbed
	// Plan is what was built, with the links' rates at the scale of the run.
	Plan *topologies.Plan
	// Seed of everything that is random.
	Seed uint64
	// Proxy is the engine of the steps' proxies.
	Proxy proxies.Engine
	// FirstVariant is the lab's; what belongs to no variant is recorded under it.
	FirstVariant string
	Recorder     *results.Recorder
	Narrator     Narrator

	// uncalibrated is why the link of a node can't be trusted, by the node's name; those that can have none.
	uncalibrated map[string]string
	// slowed is why transfers of a repetition that no LB node's port is in the way of don't count; see UnderCeiling.
	slowed map[string]string
}

// LBNames returns the names of the testbed's LB nodes.
func (r *Run) LBNames() []string {
	var names []string
	for _, n := range r.Testbed.LBNodes() {
		names = append(names, n.Name)
	}
	return names
}

// Calibrate measures every link that is shaped in both directions.
// Samples: link_calibration (ratio of what the link carried, with each frame's overhead, to its rate), labelled with link and direction.
func (r *Run) Calibrate(ctx context.Context) error {
	r.uncalibrated = make(map[string]string)
	return measure.Calibrate(ctx, r.Testbed, r.Plan, func(string) bool { return false }, r.recordCalibration)
}

// Calibrated reports whether all links were at their rates when they were measured last.
func (r *Run) Calibrated() bool { return len(r.uncalibrated) == 0 }

// Recalibrate measures the links again that were off their rate when they were measured last: a machine that was busy then may not be now.
// One that is still off keeps its reason.
func (r *Run) Recalibrate(ctx context.Context) error {
	off := r.uncalibrated
	if len(off) == 0 {
		return nil
	}
	r.uncalibrated = make(map[string]string)
	calibrated := func(node string) bool { return off[node] == "" }
	if err := measure.Calibrate(ctx, r.Testbed, r.Plan, calibrated, r.recordCalibration); err != nil {
		r.uncalibrated = off // what is left of the trial before may be in the way
	}
	return ctx.Err()
}

func (r *Run) recordCalibration(l measure.Link, carried float64) error {
	if math.Abs(carried-1) > measure.CalibrationLimit && r.uncalibrated[l.Node.Name] == "" {
		r.uncalibrated[l.Node.Name] = fmt.Sprintf("the link of %s, %s, carries %.2f of its rate", l.Node.Name, l, carried)
	}
	return r.Recorder.AddSample(results.Sample{
		Variant: r.FirstVariant, Metric: "link_calibration", Unit: "ratio", Value: carried,
		Labels: map[string]string{"link": l.Node.Name, "direction": l.String()},
	})
}

// MiscalibratedLink returns why what is measured between a client and pods does not count, because of a link that it uses; empty if it
// counts.
func (r *Run) MiscalibratedLink(client string, pods []netip.Addr) string {
	used := append(r.LBNames(), client)
	for _, p := range r.Plan.Pods {
		if slices.ContainsFunc(p.Addresses, func(a netip.Addr) bool { return slices.Contains(pods, a) }) {
			used = append(used, p.Node)
		}
	}
	for _, name := range used {
		if why := r.uncalibrated[name]; why != "" {
			return why
		}
	}
	return ""
}

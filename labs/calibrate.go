package labs

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/dsrlab/dsrlab/labs/measure"
	"github.com/dsrlab/dsrlab/results"
)

// calibrate measures every link that is shaped in both directions.
// Samples: link_calibration (ratio of what the link carried, with each frame's overhead, to its rate), labelled with link and direction.
func (x *execution) calibrate(ctx context.Context) error {
	x.uncalibrated = make(map[string]string)
	return measure.Calibrate(ctx, x.testbed, x.plan, func(string) bool { return false }, x.recordCalibration)
}

// recalibrate measures the links again that were off their rate when they were measured last: a machine that was busy then may not be now.
// One that is still off keeps its reason.
func (x *execution) recalibrate(ctx context.Context) error {
	off := x.uncalibrated
	if len(off) == 0 {
		return nil
	}
	x.uncalibrated = make(map[string]string)
	calibrated := func(node string) bool { return off[node] == "" }
	if err := measure.Calibrate(ctx, x.testbed, x.plan, calibrated, x.recordCalibration); err != nil {
		x.uncalibrated = off // what is left of the trial before may be in the way
	}
	return ctx.Err()
}

func (x *execution) recordCalibration(l measure.Link, carried float64) error {
	if math.Abs(carried-1) > measure.CalibrationLimit && x.uncalibrated[l.Node.Name] == "" {
		x.uncalibrated[l.Node.Name] = fmt.Sprintf("the link of %s, %s, carries %.2f of its rate", l.Node.Name, l, carried)
	}
	return x.recorder.AddSample(results.Sample{
		Variant: x.lab.Spec.Variants[0].Name, Metric: "link_calibration", Unit: "ratio", Value: carried,
		Labels: map[string]string{"link": l.Node.Name, "direction": l.String()},
	})
}

// miscalibratedLink returns why a trial between a client and pods does not count, because of a link that it uses; empty if it counts.
func (t *trial) miscalibratedLink(client string, pods []netip.Addr) string {
	used := append(t.lbNames(), client)
	for _, p := range t.plan.Pods {
		if slices.ContainsFunc(p.Addresses, func(a netip.Addr) bool { return slices.Contains(pods, a) }) {
			used = append(used, p.Node)
		}
	}
	for _, name := range used {
		if why := t.uncalibrated[name]; why != "" {
			return why
		}
	}
	return ""
}

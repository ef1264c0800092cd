package labs

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/labs/meter"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// execution is one run of a lab on its testbed.
type execution struct {
	runner   *Runner
	lab      *Lab
	testbed  *testbed.Testbed
	recorder *results.Recorder
	// restorePriority undoes prioritize; nil on an existing cluster.
	restorePriority func()
	// plan is what stands, with the links' rates at the scale of the run.
	plan *topologies.Plan
	// uncalibrated is why the link of a node can't be trusted, by the node's name; those that can have none.
	uncalibrated map[string]string
	// slowed is why transfers of a repetition that no LB node's port is in the way of don't count; see underCeiling.
	slowed map[string]string
}

// trial is one attempt at a Trial.
type trial struct {
	*execution
	planned      *Trial
	phase        *Phase
	variant      testbed.Variant
	repetition   int
	labels       map[string]string // of the sweep
	value        setting
	stepLabels   map[string]string // of the step that runs
	replySources capture.ReplySources
	meters       []*meter.Meter // of the LB nodes' ports
	// attempt counts from 1.
	attempt int
	// stopped says why nothing more counts; nil while it does.
	stopped func() error
	// invalid is why what was measured in this trial does not count.
	invalid string
	// disturbed is why the machine, and not what is tried, decided what was measured; empty if it didn't.
	disturbed string
	// sampled is what was recorded.
	sampled []results.Sample
}

// disturb notes why the machine disturbed a step, if it did: the trial is to be repeated then.
func (t *trial) disturb(why string) {
	t.disturbed = firstReason(t.disturbed, why)
}

// reshaped gives the swept link its queue while f runs.
func (t *trial) reshaped(f func() error) error {
	restore, err := t.reshape(t.phase.Sweep, t.value)
	if err != nil {
		return err
	}
	return errors.Join(f(), restore())
}

func (t *trial) run(ctx context.Context) error {
	t.runner.Narrator.Trial(t.variant, t.repetition, t.labels)
	if t.runner.Site != nil {
		return t.runner.Site.Take(ctx, t.planned, &Notes{t})
	}
	if err := t.install(ctx); err != nil {
		return err
	}
	tables, err := t.testbed.Tables(t.variant)
	if err != nil {
		return err
	}
	t.replySources = capture.ReplySourcesOf(tables)
	return t.captured(ctx, func() error {
		return t.metered(func() error {
			for i := range t.phase.Steps {
				if err := t.step(ctx, &t.phase.Steps[i]); err != nil {
					return fmt.Errorf("step %d: %w", i+1, err)
				}
			}
			return nil
		})
	})
}

// install puts the variant's data path on the nodes, and around them what belongs to it.
func (t *trial) install(ctx context.Context) error {
	if err := t.testbed.Install(ctx, t.variant); err != nil {
		return err
	}
	if err := t.testbed.SetEdge(ctx, t.variant.Edge); err != nil {
		return err
	}
	return t.testbed.SetSpoofProtection(t.variant.SpoofProtection)
}

// metered counts the answers that cross the ports of LB nodes while f runs.
// Sample: lb_port_bytes_reply (B), in both directions together.
func (t *trial) metered(f func() error) error {
	defer func() {
		for _, m := range t.meters {
			m.Close()
		}
		t.meters = nil
	}()
	for _, n := range t.testbed.LBNodes() {
		err := t.testbed.Network().Do("fabric", func() error {
			m, err := meter.Open(n.Port, t.replySources.Sources())
			t.meters = append(t.meters, m)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return err
	}
	bytes, err := t.replyBytes()
	if err != nil {
		return err
	}
	return t.sample("lb_port_bytes_reply", "B", float64(bytes), nil)
}

// replyBytes are those of answers that have crossed the LB nodes' ports in this trial, in both directions.
func (t *trial) replyBytes() (uint64, error) {
	var sum meter.Count
	for _, m := range t.meters {
		to, from, err := m.Read()
		if err != nil {
			return 0, err
		}
		sum = sum.Add(to).Add(from)
	}
	return sum.Bytes, nil
}

// down takes away what the trials were taken on.
func (x *execution) down(ctx context.Context) error {
	if x.runner.Site != nil {
		return x.runner.Site.Close(ctx)
	}
	defer x.restorePriority()
	return x.testbed.Down(ctx)
}

// Value is one that a step found.
type Value struct {
	Metric, Unit string
	Value        float64
	Labels       map[string]string
}

// sampleAll records values of this trial.
func (t *trial) sampleAll(values []Value) error {
	for _, v := range values {
		if err := t.sample(v.Metric, v.Unit, v.Value, v.Labels); err != nil {
			return err
		}
	}
	return nil
}

// sample records a value of this trial, with the labels of sweep and step, and more.
func (t *trial) sample(metric, unit string, value float64, labels map[string]string) error {
	all := map[string]string{}
	for _, m := range []map[string]string{t.labels, t.stepLabels, labels} {
		for k, v := range m {
			all[k] = v
		}
	}
	s := results.Sample{
		Variant: t.variant.Name, Repetition: t.repetition, Metric: metric, Unit: unit, Value: value, Labels: all, Invalid: t.invalid,
	}
	if math.IsNaN(value) && s.Invalid == "" {
		s.Invalid = "nothing was measured"
	}
	if err := t.stopped(); err != nil && s.Invalid == "" {
		s.Invalid = "the trial was stopped: " + err.Error()
	}
	if err := t.recorder.AddSample(s); err != nil {
		return err
	}
	t.sampled = append(t.sampled, s)
	return nil
}

// caveat is the end of what is told of values that do not count; empty: they do.
func (t *trial) caveat() string {
	if t.invalid == "" {
		return ""
	}
	return "; this does not count: " + t.invalid
}

// evidence records and tells something that was seen.
func (t *trial) evidence(message string) error {
	t.runner.Narrator.Evidence(t.variant.Name, message)
	return t.recorder.AddEvent(results.EventEvidence, message, map[string]string{"variant": t.variant.Name})
}

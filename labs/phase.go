package labs

import (
	"maps"
	"math"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/labs/meter"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// execution is one run of a lab. On an existing cluster it has no testbed, and what follows it is empty.
type execution struct {
	runner   *Runner
	lab      *Lab
	recorder *results.Recorder
	testbed  *testbed.Testbed
	// plan is what was built, with the links' rates at the scale of the run.
	plan *topologies.Plan
	// uncalibrated is why the link of a node can't be trusted, by the node's name; those that can have none.
	uncalibrated map[string]string
	// slowed is why transfers of a repetition that no LB node's port is in the way of don't count; see underCeiling.
	slowed map[string]string
}

// trial is one attempt at a Trial.
type trial struct {
	*execution
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
	s := results.Sample{
		Variant: t.variant.Name, Repetition: t.repetition, Metric: metric, Unit: unit, Value: value, Labels: t.allLabels(labels), Invalid: t.invalid,
	}
	if math.IsNaN(value) && s.Invalid == "" {
		s.Invalid = "nothing was measured"
	}
	s.Invalid = firstReason(s.Invalid, t.whyStopped())
	if err := t.recorder.AddSample(s); err != nil {
		return err
	}
	t.sampled = append(t.sampled, s)
	return nil
}

// series records how something went over time or was distributed in this trial, with the labels of sweep and step, and more. Of what has
// no values nothing is recorded.
func (t *trial) series(s results.Series, labels map[string]string) error {
	if len(s.Values) == 0 {
		return nil
	}
	s.Variant, s.Repetition, s.Labels, s.Invalid = t.variant.Name, t.repetition, t.allLabels(labels), firstReason(t.invalid, t.whyStopped())
	return t.recorder.AddSeries(s)
}

// allLabels are those of sweep and step, and more.
func (t *trial) allLabels(more map[string]string) map[string]string {
	all := map[string]string{}
	for _, labels := range []map[string]string{t.labels, t.stepLabels, more} {
		maps.Copy(all, labels)
	}
	return all
}

// whyStopped is why nothing counts that is measured from now on; empty while it does.
func (t *trial) whyStopped() string {
	if err := t.stopped(); err != nil {
		return "the trial was stopped: " + err.Error()
	}
	return ""
}

// invalidNote is the end of what is told of values that do not count; empty: they do.
func (t *trial) invalidNote() string {
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

package trial

import (
	"cmp"
	"maps"
	"math"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/labs/meter"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
)

// Attempt is one attempt at a trial: one execution of a phase's steps under one variant, in one repetition. Steps record by it what
// they measure. It is not safe for concurrent use.
type Attempt struct {
	*Run
	// Phase is the phase's name.
	Phase      string
	Variant    testbed.Variant
	Repetition int
	// Labels of the sweep.
	Labels map[string]string
	// Number counts the attempts at the trial from 1.
	Number int
	// Stopped returns why nothing more counts; nil while it does. Nil: nothing stops the trial.
	Stopped func() error

	stepLabels   map[string]string // of the step that runs
	replySources capture.ReplySources
	meters       []*meter.Meter // of the LB nodes' ports
	// invalid is why what is recorded now does not count.
	invalid string
	// disturbed is why the machine, and not what is tried, decided what was measured; empty if it didn't.
	disturbed string
	// sampled is what was recorded.
	sampled []results.Sample
}

// Value is one that a step found.
type Value struct {
	Metric, Unit string
	Value        float64
	Labels       map[string]string
}

// Sampled returns all samples that were recorded.
func (t *Attempt) Sampled() []results.Sample { return t.sampled }

// Disturb notes why the machine disturbed a step, if it did: the trial is to be repeated then.
func (t *Attempt) Disturb(why string) { t.disturbed = cmp.Or(t.disturbed, why) }

// Disturbed returns why the machine disturbed a step; empty if it didn't.
func (t *Attempt) Disturbed() string { return t.disturbed }

// Invalidate runs f. What f records does not count if there is a reason why.
func (t *Attempt) Invalidate(why string, f func() error) error {
	outer := t.invalid
	t.invalid = why
	defer func() { t.invalid = outer }()
	return f()
}

// InvalidNote is the end of what is told of values that do not count; empty: they do.
func (t *Attempt) InvalidNote() string {
	if t.invalid == "" {
		return ""
	}
	return "; this does not count: " + t.invalid
}

// WithLabels runs f with a step's labels: they are added to all that f records, in place of those of a step around it.
func (t *Attempt) WithLabels(labels map[string]string, f func() error) error {
	outer := t.stepLabels
	t.stepLabels = labels
	defer func() { t.stepLabels = outer }()
	return f()
}

// StepLabels returns the labels of the step that runs.
func (t *Attempt) StepLabels() map[string]string { return t.stepLabels }

// Record records values.
func (t *Attempt) Record(values []Value) error {
	for _, v := range values {
		if err := t.Sample(v.Metric, v.Unit, v.Value, v.Labels); err != nil {
			return err
		}
	}
	return nil
}

// Sample records a value, with the labels of sweep and step, and more. NaN is a value that could not be measured.
func (t *Attempt) Sample(metric, unit string, value float64, labels map[string]string) error {
	s := results.Sample{
		Variant: t.Variant.Name, Repetition: t.Repetition, Metric: metric, Unit: unit, Value: value, Labels: t.allLabels(labels), Invalid: t.invalid,
	}
	if math.IsNaN(value) && s.Invalid == "" {
		s.Invalid = "nothing was measured"
	}
	s.Invalid = cmp.Or(s.Invalid, t.whyStopped())
	if err := t.Recorder.AddSample(s); err != nil {
		return err
	}
	t.sampled = append(t.sampled, s)
	return nil
}

// Series records how something went over time or was distributed, with the labels of sweep and step, and more. Of what has no values
// nothing is recorded.
func (t *Attempt) Series(s results.Series, labels map[string]string) error {
	if len(s.Values) == 0 {
		return nil
	}
	s.Variant, s.Repetition, s.Labels, s.Invalid = t.Variant.Name, t.Repetition, t.allLabels(labels), cmp.Or(t.invalid, t.whyStopped())
	return t.Recorder.AddSeries(s)
}

// Evidence records and tells something that was seen.
func (t *Attempt) Evidence(message string) error {
	t.Narrator.Evidence(t.Variant.Name, message)
	return t.Recorder.AddEvent(results.EventEvidence, message, map[string]string{"variant": t.Variant.Name})
}

// allLabels are those of sweep and step, and more.
func (t *Attempt) allLabels(more map[string]string) map[string]string {
	all := map[string]string{}
	for _, labels := range []map[string]string{t.Labels, t.stepLabels, more} {
		maps.Copy(all, labels)
	}
	return all
}

// whyStopped is why nothing counts that is measured from now on; empty while it does.
func (t *Attempt) whyStopped() string {
	if t.Stopped == nil {
		return ""
	}
	if err := t.Stopped(); err != nil {
		return "the trial was stopped: " + err.Error()
	}
	return ""
}

// DescribeLabels formats labels as what follows a sentence, as in " (protocol=tcp)"; empty if there are none.
func DescribeLabels(labels map[string]string) string {
	if len(labels) == 0 {
		return ""
	}
	return " (" + results.FormatLabels(labels) + ")"
}

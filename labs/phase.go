package labs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/dsrlab/dsrlab/labs/capture"
	"github.com/dsrlab/dsrlab/labs/meter"
	"github.com/dsrlab/dsrlab/labs/stand"
	"github.com/dsrlab/dsrlab/results"
)

// execution is one run of a lab on its stand.
type execution struct {
	runner   *Runner
	lab      *Lab
	stand    *stand.Stand
	recorder *results.Recorder
	// uncalibrated is why links can't be trusted; empty when they can.
	uncalibrated string
}

// turn is one variant's turn in one repetition of a phase.
type turn struct {
	*execution
	phase      *Phase
	variant    stand.Variant
	repetition int
	labels     map[string]string // of the sweep
	stepLabels map[string]string // of the step that runs
	answers    capture.Answers
	meters     []*meter.Meter // of the LB nodes' ports
	// invalid is why what was measured in this turn does not count.
	invalid string
}

// phase runs all turns of a phase: for each value of the sweep, for each repetition, each variant.
func (x *execution) phase(ctx context.Context, p *Phase) error {
	variants := x.variants(p)
	values := p.Sweep.settings()
	repetitions := x.runner.repetitions(p)
	x.runner.Narrator.Phase(p, len(values)*repetitions*len(variants))
	if err := x.recorder.AddEvent(results.KindNarration, p.Narration, nil); err != nil {
		return err
	}
	for _, value := range values {
		restore, err := x.reshape(p.Sweep, value)
		if err != nil {
			return err
		}
		for repetition := range repetitions {
			for _, v := range variants {
				t := &turn{
					execution: x, phase: p, variant: value.variant(v, x.stand.Plan()), repetition: repetition, labels: value.labels,
				}
				if err := t.run(ctx); err != nil {
					return errors.Join(fmt.Errorf("variant %s: %w", v.Name, err), restore())
				}
			}
		}
		if err := restore(); err != nil {
			return err
		}
	}
	return nil
}

func (x *execution) variants(p *Phase) []stand.Variant {
	if len(p.Variants) == 0 {
		return x.lab.Spec.Variants
	}
	return slices.DeleteFunc(slices.Clone(x.lab.Spec.Variants), func(v stand.Variant) bool { return !slices.Contains(p.Variants, v.Name) })
}

func (t *turn) run(ctx context.Context) error {
	t.runner.Narrator.Turn(t.variant, t.repetition, t.labels)
	if err := t.install(ctx); err != nil {
		return err
	}
	tables, err := t.stand.Tables(t.variant)
	if err != nil {
		return err
	}
	t.answers = capture.AnswersOf(tables)
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
func (t *turn) install(ctx context.Context) error {
	if err := t.stand.Install(ctx, t.variant); err != nil {
		return err
	}
	if err := t.stand.SetEdge(ctx, t.variant.Edge); err != nil {
		return err
	}
	return t.stand.SetSpoofProtection(t.variant.SpoofProtection)
}

// metered counts the answers that cross the ports of LB nodes while f runs.
// Sample: lb_port_bytes_reply (B), in both directions together.
func (t *turn) metered(f func() error) error {
	defer func() {
		for _, m := range t.meters {
			m.Close()
		}
		t.meters = nil
	}()
	for _, n := range t.stand.LBNodes() {
		err := t.stand.Lab().Do("fabric", func() error {
			m, err := meter.Open(n.Port, t.answers.Sources())
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

// replyBytes are those of answers that have crossed the LB nodes' ports in this turn, in both directions.
func (t *turn) replyBytes() (uint64, error) {
	var sum meter.Crossed
	for _, m := range t.meters {
		to, from, err := m.Read()
		if err != nil {
			return 0, err
		}
		sum = sum.Add(to).Add(from)
	}
	return sum.Bytes, nil
}

// sample records a value of this turn, with the labels of sweep and step, and more.
func (t *turn) sample(metric, unit string, value float64, labels map[string]string) error {
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
	return t.recorder.AddSample(s)
}

// evidence records and tells something that was seen.
func (t *turn) evidence(message string) error {
	t.runner.Narrator.Evidence(t.variant.Name, message)
	return t.recorder.AddEvent(results.KindEvidence, message, map[string]string{"variant": t.variant.Name})
}

package labs

import (
	"context"
	"errors"
	"fmt"

	"github.com/dsrlab/dsrlab/labs/measure"
	"github.com/dsrlab/dsrlab/topologies"
)

const (
	// probeEnough is the part of the links' rates that it must carry, over the whole of the rest: 5 % are for TCP's first losses and its
	// recovery.
	probeEnough = 0.95
	// probeHeadroom is how much more than the lab's links allow the machine must carry. A data path takes up to a third more CPU time than
	// plain forwarding, so a machine that just carries the plain traffic would find a data path slow that isn't.
	probeHeadroom = 1.33
)

// setLinks sets all limited links to the rates of a plan.
func (x *execution) setLinks(p *topologies.Plan) error {
	for _, n := range p.Nodes {
		if !n.Limited() {
			continue
		}
		if err := x.testbed.Network().Reshape(n.Name, n.ToNode, n.FromNode); err != nil {
			return fmt.Errorf("set the link of %s: %w", n.Name, err)
		}
	}
	return nil
}

// fitToMachine gives the links the largest rates that the machine carries now, or those that were asked for, and calibrates them.
func (s *Session) fitToMachine(ctx context.Context, x *execution) error {
	scale, reason := max(s.runner.Scale, s.atMost, 1), ""
	if x.plan.Limited() && s.lab.usesRates() {
		var err error
		if scale, reason, err = s.fitLinks(ctx, x, scale); err != nil {
			return err
		}
	}
	s.scale, s.plan = scale, x.plan
	if reason != "" {
		s.runner.Narrator.Notice(reason)
	}
	return errors.Join(s.recorder.SetScale(scale.String(), reason), s.recorder.Describe("links", s.plan.Nodes))
}

// usesRates reports whether the results of any step depend on the links' rates.
func (l *Lab) usesRates() bool {
	for i := range l.Spec.Phases {
		for j := range l.Spec.Phases[i].Steps {
			_, a, _ := l.Spec.Phases[i].Steps[j].action()
			if _, ok := a.(rateDependent); ok {
				return true
			}
		}
	}
	return false
}

// fitLinks tries the scales from the given one on, until the machine carries what the lab asks for; of one that was asked for it only finds
// out whether it does. The reason says what it found, if all is not as in the topology.
func (s *Session) fitLinks(ctx context.Context, x *execution, scale Scale) (_ Scale, reason string, err error) {
	full, first := x.plan, 0.0
	for {
		x.plan = full.Scaled(int(scale)).Raised(probeHeadroom)
		if err := x.setLinks(x.plan); err != nil {
			return 0, "", err
		}
		share, carried, err := measure.Probe(ctx, x.testbed, x.plan)
		if err != nil {
			return 0, "", fmt.Errorf("find out what the machine carries: %w", err)
		}
		x.plan = full.Scaled(int(scale))
		if err := x.setLinks(x.plan); err != nil {
			return 0, "", err
		}
		if first == 0 {
			first = carried
		}
		fits := share >= probeEnough
		if fits {
			if err := x.calibrate(ctx); err != nil {
				return 0, "", fmt.Errorf("calibrate: %w", err)
			}
			fits = len(x.uncalibrated) == 0
		}
		smaller, ok := scale.next()
		if fits || s.runner.Scale != 0 || !ok {
			return scale, describeScale(scale, fits, s.runner.Scale != 0, first), nil
		}
		scale = smaller
	}
}

// describeScale tells of a scale what the machine carried when it was asked first; empty if all is as in the topology.
func describeScale(scale Scale, fits, asked bool, carried float64) string {
	divided := fmt.Sprintf("all rates are divided by %d", int(scale))
	switch {
	case fits && scale == 1:
		return ""
	case fits && asked:
		return "As asked for, " + divided + "."
	case fits:
		return fmt.Sprintf("This machine carries %s now: %s.", describeRate(carried), divided)
	case scale == 1:
		return fmt.Sprintf("This machine carries %s now, which is less than the lab asks for.", describeRate(carried))
	}
	return fmt.Sprintf("This machine carries %s now, which is less than the lab asks for, although %s.", describeRate(carried), divided)
}

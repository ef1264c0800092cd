package labs

import (
	"context"
	"errors"
	"fmt"

	"github.com/dsrlab/dsrlab/labs/measure"
	"github.com/dsrlab/dsrlab/labs/testbed"
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

// setLinks sets all limited links of a testbed to the rates of a plan.
func setLinks(b *testbed.Testbed, p *topologies.Plan) error {
	for _, n := range p.Nodes {
		if !n.Limited() {
			continue
		}
		if err := b.Network().Reshape(n.Name, n.ToNode, n.FromNode); err != nil {
			return fmt.Errorf("set the link of %s: %w", n.Name, err)
		}
	}
	return nil
}

// fitToMachine gives the links the largest rates that the machine carries now, or those that were asked for, and calibrates them.
func (s *Session) fitToMachine(ctx context.Context) error {
	scale, reason := max(s.runner.Scale, s.atMost, 1), ""
	if s.shared.Plan.Limited() && s.lab.usesRates() {
		var err error
		if scale, reason, err = s.fitLinks(ctx, scale); err != nil {
			return err
		}
	}
	s.scale, s.plan = scale, s.shared.Plan
	if reason != "" {
		s.runner.Narrator.Notice(reason)
	}
	return errors.Join(s.recorder.SetScale(scale.String(), reason), s.recorder.Describe("links", s.plan.Nodes))
}

// usesRates reports whether the results of any step depend on the links' rates.
func (l *Lab) usesRates() bool {
	for i := range l.Spec.Phases {
		for j := range l.Spec.Phases[i].Steps {
			if l.Spec.Phases[i].Steps[j].DependsOnRates() {
				return true
			}
		}
	}
	return false
}

// fitLinks tries the scales from the given one on, until the machine carries what the lab asks for; of one that was asked for it only finds
// out whether it does. The reason says what it found, if all is not as in the topology.
func (s *Session) fitLinks(ctx context.Context, scale Scale) (_ Scale, reason string, err error) {
	x := s.shared
	full, first := x.Plan, 0.0
	for {
		x.Plan = full.Scaled(int(scale)).Raised(probeHeadroom)
		if err := setLinks(x.Testbed, x.Plan); err != nil {
			return 0, "", err
		}
		share, carried, err := measure.Probe(ctx, x.Testbed, x.Plan)
		if err != nil {
			return 0, "", fmt.Errorf("find out what the machine carries: %w", err)
		}
		x.Plan = full.Scaled(int(scale))
		if err := setLinks(x.Testbed, x.Plan); err != nil {
			return 0, "", err
		}
		if first == 0 {
			first = carried
		}
		fits := share >= probeEnough
		if fits {
			if err := x.Calibrate(ctx); err != nil {
				return 0, "", fmt.Errorf("calibrate: %w", err)
			}
			fits = x.Calibrated()
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

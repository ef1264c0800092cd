package labs

import (
	"errors"
	"slices"

	"github.com/dsrlab/dsrlab/labs/doctor"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// Needs returns what each lab of the catalogue needs from the machine.
func Needs() ([]doctor.Lab, error) {
	names, err := Catalogue()
	if err != nil {
		return nil, err
	}
	var all []doctor.Lab
	for _, name := range names {
		lab, err := Lookup(name)
		if err != nil {
			return nil, err
		}
		plan, err := planOf(lab, "")
		if err != nil {
			return nil, err
		}
		all = append(all, lab.needs(plan))
	}
	return all, nil
}

func (l *Lab) needs(plan *topologies.Plan) doctor.Lab {
	return doctor.Lab{
		Name:      l.Metadata.Name,
		Shaped:    plan.Limited(),
		OnlyNetns: l.onlyNetns(plan),
		Translates: slices.ContainsFunc(l.Spec.Variants, func(v testbed.Variant) bool {
			return v.DataPath == testbed.DataPathKubeProxy || v.DataPath == testbed.DataPathDNATOnly || v.Edge == testbed.EdgeStateful || v.SpoofProtection ||
				len(v.Obstacles) > 0
		}),
	}
}

// onlyNetns returns what of a lab a kind cluster can't do; empty: nothing.
func (l *Lab) onlyNetns(plan *topologies.Plan) string {
	onKind := *plan
	onKind.Substrate = topologies.SubstrateKindK
	var errs []error
	for _, v := range l.Spec.Variants {
		errs = append(errs, testbed.Check(&onKind, v))
	}
	for _, p := range l.Spec.Phases {
		for i := range p.Steps {
			if p.Steps[i].FailsNodes() {
				errs = append(errs, testbed.CheckFailure(&onKind))
			}
		}
	}
	var missing *netns.MissingError
	if errors.As(errors.Join(errs...), &missing) {
		return missing.Feature
	}
	return ""
}

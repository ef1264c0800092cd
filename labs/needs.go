package labs

import (
	"slices"

	"github.com/dsrlab/dsrlab/labs/doctor"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
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
		Name:   l.Metadata.Name,
		Shaped: plan.Limited(),
		Translates: slices.ContainsFunc(l.Spec.Variants, func(v testbed.Variant) bool {
			return v.DataPath == testbed.DataPathKubeProxy || v.DataPath == testbed.DataPathDNATOnly || v.Edge == testbed.EdgeStateful || v.SpoofProtection
		}),
	}
}

package labs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/manifest"
)

//go:embed [0-9]*/lab.yaml
var catalogue embed.FS

// Catalogue lists the names of all labs, in order.
func Catalogue() ([]string, error) {
	files, err := fs.Glob(catalogue, "*/lab.yaml")
	if err != nil {
		return nil, err
	}
	for i, file := range files {
		files[i] = path.Dir(file)
	}
	return files, nil
}

// Lookup returns a lab of the catalogue by its name, or by the beginning of it if no other lab's name begins so, as in 01.
func Lookup(name string) (*Lab, error) {
	names, err := Catalogue()
	if err != nil {
		return nil, err
	}
	matches := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return name == "" || !strings.HasPrefix(n, name) })
	if slices.Contains(names, name) {
		matches = []string{name}
	}
	switch len(matches) {
	case 0:
		return nil, fmt.Errorf("unknown lab %q (want %s)", name, strings.Join(names, ", "))
	case 1:
		data, err := catalogue.ReadFile(matches[0] + "/lab.yaml")
		if err != nil {
			return nil, err
		}
		return Parse(matches[0]+"/lab.yaml", data)
	}
	return nil, fmt.Errorf("ambiguous lab %q (want one of %s)", name, strings.Join(matches, ", "))
}

// Parse parses a lab.yaml strictly and validates it. The error joins everything that is wrong with it.
func Parse(file string, data []byte) (*Lab, error) {
	var lab Lab
	if _, err := manifest.Decode(file, data, &lab); err != nil {
		return nil, err
	}
	if err := lab.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &lab, nil
}

func (l *Lab) validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if l.APIVersion != APIVersion || l.Kind != Kind {
		fail("apiVersion and kind: found %s %s (want %s %s)", l.APIVersion, l.Kind, APIVersion, Kind)
	}
	variants := make(map[string]bool)
	for i, v := range l.Spec.Variants {
		if v.Name == "" || variants[v.Name] {
			fail("spec.variants[%d].name: found %q (want a unique name)", i, v.Name)
		}
		variants[v.Name] = true
		if err := v.Validate(); err != nil {
			fail("spec.variants[%d]: %w", i, err)
		}
	}
	if len(variants) == 0 {
		fail("spec.variants: missing (want at least one)")
	}
	for i := range l.Spec.Phases {
		for _, err := range l.Spec.Phases[i].validate(l) {
			fail("spec.phases[%d].%w", i, err)
		}
	}
	exercises := make(map[string]bool)
	for i := range l.Spec.Exercises {
		if id := l.Spec.Exercises[i].ID; exercises[id] {
			fail("spec.exercises[%d].id: found %q (want a unique id)", i, id)
		}
		exercises[l.Spec.Exercises[i].ID] = true
		for _, err := range l.Spec.Exercises[i].validate(l) {
			fail("spec.exercises[%d].%w", i, err)
		}
	}
	for i, e := range l.Spec.Expectations {
		if !variants[e.Variant] || e.Over != "" && !variants[e.Over] {
			fail("spec.expectations[%d]: found variant %q, over %q (want variants of the lab)", i, e.Variant, e.Over)
		}
		if e.Over != "" && (e.Slope != "" || e.OverLabels != nil) {
			fail("spec.expectations[%d]: over: not together with slope or overLabels", i)
		}
		for _, err := range l.checkHeadline(&l.Spec.Expectations[i]) {
			fail("spec.expectations[%d].%w", i, err)
		}
		if e.AtLeast == nil && e.AtMost == nil {
			fail("spec.expectations[%d]: want atLeast, atMost or both", i)
		}
		if s := e.Substrate; s != "" && s != topologies.SubstrateNetns && s != topologies.SubstrateKindK {
			fail("spec.expectations[%d].substrate: found %q (want %s or %s)", i, s, topologies.SubstrateNetns, topologies.SubstrateKindK)
		}
	}
	return errors.Join(errs...)
}

// has reports whether the lab has a variant.
func (l *Lab) has(variant string) bool {
	return slices.ContainsFunc(l.Spec.Variants, func(v testbed.Variant) bool { return v.Name == variant })
}

func (p *Phase) validate(l *Lab) []error {
	errs := p.Sweep.validate()
	for i, v := range p.Variants {
		if !l.has(v) {
			errs = append(errs, fmt.Errorf("variants[%d]: unknown variant %q (want one of the lab's)", i, v))
		}
	}
	if len(p.Steps) == 0 {
		errs = append(errs, errors.New("steps: missing (want at least one)"))
	}
	for i := range p.Steps {
		for _, err := range p.Steps[i].validate(l) {
			errs = append(errs, fmt.Errorf("steps[%d].%w", i, err))
		}
	}
	return errs
}

// UseBird selects BIRD as the router's daemon in all variants whose edge speaks BGP.
func (l *Lab) UseBird() {
	for i := range l.Spec.Variants {
		if v := &l.Spec.Variants[i]; v.Edge == testbed.EdgeBGP {
			v.Edge = testbed.EdgeBird
		}
	}
}

// UseHook sets the hook of all variants of our own data path; the empty one leaves them as they are.
func (l *Lab) UseHook(h dataplane.Hook) error {
	for i := range l.Spec.Variants {
		v := &l.Spec.Variants[i]
		if v.DataPath != testbed.DataPathDSRLab || h == "" {
			continue
		}
		v.Hook = h
		if err := v.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// UseFault breaks all variants of our own data path that are of mode dsr; FaultNone leaves them as they are. A lab without such
// a variant is an error: it would not show what was asked for.
func (l *Lab) UseFault(f dataplane.Fault) error {
	if f == dataplane.FaultNone {
		return nil
	}
	broken := false
	for i := range l.Spec.Variants {
		v := &l.Spec.Variants[i]
		if v.DataPath != testbed.DataPathDSRLab || v.Mode != services.ModeDSR {
			continue
		}
		v.Fault, broken = f, true
		if err := v.Validate(); err != nil {
			return err
		}
	}
	if !broken {
		return fmt.Errorf("lab %s has no variant of mode dsr to break", l.Metadata.Name)
	}
	return nil
}

// faults returns the injected faults by variant.
func (l *Lab) faults() map[string]string {
	all := make(map[string]string)
	for _, v := range l.Spec.Variants {
		if v.Fault != dataplane.FaultNone {
			all[v.Name] = string(v.Fault)
		}
	}
	return all
}

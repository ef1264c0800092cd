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
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies/manifest"
)

//go:embed [0-9]*/lab.yaml
var catalogue embed.FS

// errUnknownLab is of a name that no lab of the catalogue has.
var errUnknownLab = errors.New("unknown lab")

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
		hint := manifest.Suggest(name, names)
		if !strings.HasPrefix(hint, ": did you mean") {
			hint = fmt.Sprintf(" (want %s)", strings.Join(names, ", "))
		}
		return nil, fmt.Errorf("%w %q%s", errUnknownLab, name, hint)
	case 1:
		data, err := catalogue.ReadFile(matches[0] + "/lab.yaml")
		if err != nil {
			return nil, err
		}
		return Parse(matches[0]+"/lab.yaml", data)
	}
	return nil, fmt.Errorf("ambiguous lab %q (want one of %s)", name, strings.Join(matches, ", "))
}

// Parse parses a lab.yaml strictly and validates it. The error is manifest.Errors with everything that is wrong with it, in the order of
// the file.
func Parse(file string, data []byte) (*Lab, error) {
	var lab Lab
	positions, err := manifest.Decode(file, data, &lab)
	lab.renameMetrics()
	if err := positions.Merge(err, lab.validate()); err != nil {
		return nil, err
	}
	return &lab, nil
}

// renameMetrics gives metrics the names that they have now, wherever the lab names them.
func (l *Lab) renameMetrics() {
	for i := range l.Spec.Expectations {
		l.Spec.Expectations[i].Metric = results.CurrentMetric(l.Spec.Expectations[i].Metric)
	}
	for _, picture := range l.Spec.Report.Pictures {
		for i, metric := range picture.Metrics {
			picture.Metrics[i] = results.CurrentMetric(metric)
		}
	}
	for _, exercise := range l.Spec.Exercises {
		if m := exercise.Answer.Measured; m != nil {
			m.Metric = results.CurrentMetric(m.Metric)
		}
	}
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

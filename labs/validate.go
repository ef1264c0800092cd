package labs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/labs/expect"
	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/obstacle"
	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// validate returns everything that is wrong with a lab, as manifest.Errors without their lines. Names are checked against the lab's
// topology, metrics and labels against what its steps record: nothing of that is left for the time when the testbed stands.
func (l *Lab) validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	within := func(field string, found []error) {
		for _, err := range found {
			fail(field+"%w", err)
		}
	}
	if l.APIVersion != APIVersion || l.Kind != Kind {
		fail("apiVersion and kind: found %q %q (want %s %s)", l.APIVersion, l.Kind, APIVersion, Kind)
	}
	if !labName.MatchString(l.Metadata.Name) {
		fail("metadata.name: found %q (want two digits, a dash and a name, as in 15-my-lab)", l.Metadata.Name)
	}
	n, err := l.names()
	if err != nil {
		fail("spec.topology: %w", err)
	}
	within("spec.", l.validateVariants(n))
	if len(l.Spec.Phases) == 0 {
		fail("spec.phases: missing (want at least one)")
	}
	for i := range l.Spec.Phases {
		within(fmt.Sprintf("spec.phases[%d].", i), l.Spec.Phases[i].validate(l, n))
	}
	measured := l.measured(n)
	exercises := make(map[string]bool)
	for i := range l.Spec.Exercises {
		field := fmt.Sprintf("spec.exercises[%d].", i)
		if id := l.Spec.Exercises[i].ID; exercises[id] {
			fail(field+"id: found %q (want a unique id)", id)
		}
		exercises[l.Spec.Exercises[i].ID] = true
		within(field, l.Spec.Exercises[i].validate(l))
		within(field, l.Spec.Exercises[i].checkMeasured(measured))
	}
	within("spec.report.", l.Spec.Report.validate(l, measured))
	claims, err := results.LoadClaims()
	if err != nil {
		return err
	}
	for i := range l.Spec.Expectations {
		within(fmt.Sprintf("spec.expectations[%d]", i), l.validateExpectation(i, claims, measured))
	}
	return positioned(errs).Err()
}

// positioned returns errors that begin with a field, as in "spec.seed: missing", as errors at this field.
func positioned(errs []error) manifest.Errors {
	var all manifest.Errors
	for _, err := range errs {
		field, message, found := strings.Cut(err.Error(), ": ")
		if !found {
			field, message = "", field
		}
		all = append(all, manifest.Errorf(field, "%s", message))
	}
	return all
}

// names returns those of the lab's topology; nil if there is none.
func (l *Lab) names() (*names.Names, error) {
	if all := topologies.Catalogue(); !slices.Contains(all, l.Spec.Topology) {
		return nil, fmt.Errorf("unknown topology %q%s", l.Spec.Topology, manifest.Suggest(l.Spec.Topology, all))
	}
	plan, err := planOf(l, "")
	if err != nil {
		return nil, err
	}
	return names.Of(plan), nil
}

// variantNames are the lab's.
func (l *Lab) variantNames() []string {
	var all []string
	for _, v := range l.Spec.Variants {
		all = append(all, v.Name)
	}
	return all
}

func (l *Lab) validateVariants(n *names.Names) []error {
	if len(l.Spec.Variants) == 0 {
		return []error{errors.New("variants: missing (want at least one)")}
	}
	var errs []error
	seen := make(map[string]bool)
	for i, v := range l.Spec.Variants {
		field := fmt.Sprintf("variants[%d]", i)
		if v.Name == "" || seen[v.Name] {
			errs = append(errs, fmt.Errorf("%s.name: found %q (want a unique name)", field, v.Name))
		}
		seen[v.Name] = true
		if err := v.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
		}
		if n != nil {
			errs = append(errs, names.Each(field+".pods", "pod", v.Pods, n.Pods)...)
			errs = append(errs, checkObstacles(field+".obstacles", v, n.Plan)...)
		}
	}
	return errs
}

// checkObstacles checks that a plan's network can have the variant's obstacles, all together.
func checkObstacles(field string, v testbed.Variant, plan *topologies.Plan) []error {
	var errs []error
	for i, name := range v.Obstacles {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch err := obstacle.Check(plan, name); {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", at, err))
		case slices.Contains(v.Obstacles[:i], name):
			errs = append(errs, fmt.Errorf("%s: found %s twice (want each once)", at, name))
		case name == obstacle.DNATNLB && v.Edge != testbed.EdgeNone:
			errs = append(errs, fmt.Errorf("%s: found %s and edge %s (want one of them: each is what stands in front)", at, name, v.Edge))
		}
	}
	return errs
}

// validate returns every error in a phase; n is nil if the lab's topology is not known.
func (p *Phase) validate(l *Lab, n *names.Names) []error {
	errs := p.Sweep.validate()
	errs = append(errs, names.Each("variants", "variant", p.Variants, l.variantNames())...)
	if n != nil {
		errs = append(errs, names.Each("capture", "node", p.Capture, n.Nodes)...)
		if p.Sweep != nil {
			errs = append(errs, names.Optional("sweep.node", "node", p.Sweep.Node, n.Nodes)...)
			for i, pods := range p.Sweep.Pods {
				if pods < 1 || pods > len(n.Pods) {
					errs = append(errs, fmt.Errorf("sweep.pods[%d]: found %d (want 1 to %d, the topology's)", i, pods, len(n.Pods)))
				}
			}
		}
	}
	if p.Repetitions < 0 {
		errs = append(errs, fmt.Errorf("repetitions: found %d (want 1 or more)", p.Repetitions))
	}
	if len(p.Steps) == 0 {
		errs = append(errs, errors.New("steps: missing (want at least one)"))
	}
	for i := range p.Steps {
		for _, err := range p.Steps[i].Validate(l.variantNames(), n) {
			errs = append(errs, fmt.Errorf("steps[%d].%w", i, err))
		}
	}
	return errs
}

// measured returns what each variant measures; nil if the lab's topology is not known.
func (l *Lab) measured(n *names.Names) map[string][]steps.Measurement {
	if n == nil {
		return nil
	}
	all := make(map[string][]steps.Measurement)
	for _, v := range l.Spec.Variants {
		all[v.Name] = l.measures(v, n)
	}
	return all
}

// validateExpectation returns the errors in an expectation, each beginning with what follows its own field.
func (l *Lab) validateExpectation(i int, claims results.Claims, measured map[string][]steps.Measurement) []error {
	e := &l.Spec.Expectations[i]
	var errs []error
	fail := func(found ...error) {
		for _, err := range found {
			errs = append(errs, fmt.Errorf(".%w", err))
		}
	}
	if e.ID == "" || l.expectations().Find(e.ID) != e {
		fail(fmt.Errorf("id: found %q (want a unique id)", e.ID))
	}
	if e.Text == "" {
		fail(errors.New("text: missing (want what is expected, in a sentence)"))
	}
	fail(names.Known("variant", "variant", e.Variant, l.variantNames())...)
	fail(names.Optional("over", "variant", e.Over, l.variantNames())...)
	var ids []string
	for _, c := range claims {
		ids = append(ids, c.ID)
	}
	fail(names.Each("claims", "claim", e.Claims, ids)...)
	if e.Over != "" && (e.Slope != "" || e.OverLabels != nil) {
		fail(errors.New("over: not together with slope or overLabels"))
	}
	fail(l.expectations().CheckHeadline(e)...)
	if e.AtLeast == nil && e.AtMost == nil {
		errs = append(errs, errors.New(": want atLeast, atMost or both"))
	}
	if s := e.Substrate; s != "" && s != topologies.SubstrateNetns && s != topologies.SubstrateKindK {
		fail(fmt.Errorf("substrate: found %q (want %s or %s)", s, topologies.SubstrateNetns, topologies.SubstrateKindK))
	}
	fail(checkComparisons(e, measured)...)
	return errs
}

// checkComparisons returns an error for each comparison of an expectation that no trial gives the values of.
func checkComparisons(e *expect.Expectation, measured map[string][]steps.Measurement) []error {
	var errs []error
	check := func(variant, field string, labels map[string]string) {
		if all, there := measured[variant]; there {
			if err := checkMeasured(all, variant, e.Metric, field, labels, e.Slope); err != nil {
				errs = append(errs, err)
			}
		}
	}
	check(e.Variant, "labels", e.Labels)
	if e.Over != "" && errs == nil {
		check(e.Over, "over", e.Labels)
	}
	if e.OverLabels != nil && errs == nil {
		check(e.Variant, "overLabels", e.OverLabels)
	}
	return errs
}

package cluster

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/expect"
	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// Data paths on an existing cluster.
const (
	AsIs   testbed.DataPath = "as-is" // the cluster's own service proxy, whatever it is
	DSRLab                  = testbed.DataPathDSRLab
)

// Part is what of a lab an existing cluster can do.
type Subset struct {
	// Lab has the variants, phases, steps and expectations that are left.
	Lab *labs.Lab
	// Left is what is left out and why, a line each.
	Omitted []string
}

// PartOf is the part of a lab that can be done under a data path: of variants those that change nothing but services and the
// readiness of pods, of steps connect and health, of expectations those whose metrics these give. Under AsIs nothing is expected.
// It is pure. A lab of which nothing is left is a labs.LackingError.
func SubsetOf(lab *labs.Lab, plan *topologies.Plan, path testbed.DataPath) (*Subset, error) {
	lacking := func(why string) error {
		return &labs.UnsupportedError{What: lab.Metadata.Name + " can't run on an existing cluster with --data-path " + string(path), How: why}
	}
	if shaped := shapedNodes(plan); len(shaped) > 0 {
		return nil, lacking("it needs links of known rates, and those of " + strings.Join(shaped, ", ") + " can't be shaped there")
	}
	r := reduction{plan: plan, path: path, names: make(map[string]string)}
	part := *lab
	part.Spec.Exercises = nil
	part.Spec.Variants = r.variants(lab.Spec.Variants)
	if len(part.Spec.Variants) == 0 {
		return nil, lacking(strings.Join(r.omitted.lines(), "; "))
	}
	part.Spec.Phases = r.phases(lab.Spec.Phases)
	part.Spec.Variants = r.used(&part)
	if len(part.Spec.Variants) == 0 || len(part.Spec.Phases) == 0 {
		return nil, lacking(strings.Join(r.omitted.lines(), "; "))
	}
	part.Spec.Expectations = r.expectations(&part)
	return &Subset{Lab: &part, Omitted: r.omitted.lines()}, nil
}

func shapedNodes(plan *topologies.Plan) []string {
	var all []string
	for _, n := range plan.Nodes {
		if n.Limited() {
			all = append(all, n.Name)
		}
	}
	return all
}

// reduction is a Part under way.
type reduction struct {
	plan *topologies.Plan
	path testbed.DataPath
	// names are those that the kept variants have in the part, by the lab's.
	names   map[string]string
	omitted omissions
}

func (r *reduction) variants(all []testbed.Variant) []testbed.Variant {
	var kept []testbed.Variant
	for _, v := range all {
		if why := r.refuses(&v); why != "" {
			r.omitted.add("variant", v.Name, why)
			continue
		}
		name := v.Name
		if r.path == AsIs {
			name = asIsName(v.Name)
		}
		r.names[v.Name] = name
		v.Name, v.DataPath = name, r.path
		kept = append(kept, v)
	}
	return kept
}

// refuses says why a variant can't be had; empty if it can.
func (r *reduction) refuses(v *testbed.Variant) string {
	switch {
	case v.Edge != "" || v.SpoofProtection:
		return "what stands in front of the nodes is not the lab's"
	case len(v.Obstacles) > 0:
		return "the nodes' network is not the lab's"
	case r.path == AsIs && v.DataPath != testbed.DataPathKubeProxy:
		return "the cluster's own service proxy is measured, as it is"
	case r.path == DSRLab && v.DataPath != DSRLab:
		return "dsrd stays the cluster's service proxy"
	case v.Hook == dataplane.HookXDP || v.Fault != dataplane.FaultNone:
		return "the data path of the nodes stays as it is"
	}
	return ""
}

// asIsName is what a lab's kube-proxy variant is called where another proxy may play it.
func asIsName(variant string) string {
	if variant == string(testbed.DataPathKubeProxy) {
		return string(AsIs)
	}
	return string(AsIs) + "-" + variant
}

// renamed are the names of those variants that are kept; kept reports whether any is, which all are where none were named.
func (r *reduction) renamed(variants []string) (names []string, kept bool) {
	for _, v := range variants {
		if name, ok := r.names[v]; ok {
			names = append(names, name)
		}
	}
	return names, len(names) > 0 || len(variants) == 0
}

func (r *reduction) phases(all []labs.Phase) []labs.Phase {
	var kept []labs.Phase
	for _, p := range all {
		names, ok := r.renamed(p.Variants)
		if !ok {
			continue // with its variants, which are told
		}
		if p.Sweep != nil && len(p.Sweep.Queue) > 0 {
			r.omitted.add("phase", p.Name, "it changes the queue of a link")
			continue
		}
		if len(p.Capture) > 0 {
			r.omitted.add("capture in phase", p.Name, "no node of the cluster is entered")
			p.Capture = nil
		}
		p.Variants, p.Steps = names, r.steps(p.Steps)
		if len(p.Steps) > 0 {
			kept = append(kept, p)
		}
	}
	return kept
}

func (r *reduction) steps(all []steps.Step) []steps.Step {
	var kept []steps.Step
	for _, s := range all {
		names, ok := r.renamed(s.Variants)
		if !ok {
			continue
		}
		if why := r.refusesStep(&s); why != "" {
			r.omitted.add("step", s.Kind(), why)
			continue
		}
		s.Variants = names
		kept = append(kept, s)
	}
	return kept
}

func (r *reduction) refusesStep(s *steps.Step) string {
	from := ""
	switch {
	case s.Connect != nil:
		from = s.Connect.From
	case s.Health != nil:
		from = s.Health.From
	default:
		return "only connect and health need nothing of the lab's on the nodes"
	}
	if n := r.plan.Node(from); n == nil || n.Role != topologies.RoleClient {
		return "this machine is the client, and nothing else"
	}
	return ""
}

// used are the variants that do a step.
func (r *reduction) used(part *labs.Lab) []testbed.Variant {
	does := make(map[string]bool)
	for _, t := range trials(part, r.plan) {
		does[t.Variant.Name] = does[t.Variant.Name] || slices.ContainsFunc(t.Phase.Steps, func(s steps.Step) bool { return t.Does(&s) })
	}
	return slices.DeleteFunc(slices.Clone(part.Spec.Variants), func(v testbed.Variant) bool {
		if !does[v.Name] {
			r.omitted.add("variant", v.Name, "none of its steps is left")
		}
		return !does[v.Name]
	})
}

func trials(lab *labs.Lab, plan *topologies.Plan) []labs.Trial {
	var all []labs.Trial
	for i := range lab.Spec.Phases {
		all = append(all, lab.Spec.Phases[i].Trials(lab, plan, 1)...)
	}
	return all
}

// expectations are those of the lab that can be held against what the part measures.
func (r *reduction) expectations(part *labs.Lab) []expect.Expectation {
	if r.path == AsIs {
		if len(part.Spec.Expectations) > 0 {
			r.omitted.add("", "all expectations", "what the cluster does is described, not judged")
		}
		return nil
	}
	measured := r.measured(part)
	var kept []expect.Expectation
	var missing []string // claims
	for _, e := range part.Spec.Expectations {
		if e.Substrate != "" && e.Substrate != topologies.SubstrateCluster {
			continue // no run here is held against it
		}
		_, has := r.names[e.Variant]
		_, hasOver := r.names[e.Over]
		if !has || e.Over != "" && !hasOver {
			missing = append(missing, e.Claims...) // left out with its variants
			continue
		}
		ok := measured[metricKey(e.Variant, e.Metric, e.Labels)] && e.Slope == ""
		ok = ok && (e.OverLabels == nil || measured[metricKey(e.Variant, e.Metric, e.OverLabels)])
		ok = ok && (e.Over == "" || measured[metricKey(e.Over, e.Metric, e.Labels)])
		if !ok {
			r.omitted.add("expectation", e.ID, e.Metric+" can't be measured from here")
			missing = append(missing, e.Claims...)
			continue
		}
		kept = append(kept, e)
	}
	return r.claimed(kept, missing)
}

// claimed takes from expectations those claims for which others speak, too, that are left out: a verdict means the same everywhere.
func (r *reduction) claimed(all []expect.Expectation, missing []string) []expect.Expectation {
	for i := range all {
		var whole []string
		for _, id := range all[i].Claims {
			if slices.Contains(missing, id) {
				r.omitted.add("verdict on claim", id, "some of the evidence can't be measured here")
			} else {
				whole = append(whole, id)
			}
		}
		all[i].Claims = whole
	}
	return all
}

// measured are all metrics that the part samples, under their labels.
func (r *reduction) measured(part *labs.Lab) map[string]bool {
	all := make(map[string]bool)
	for _, t := range trials(part, r.plan) {
		for i := range t.Phase.Steps {
			s := &t.Phase.Steps[i]
			if !t.Does(s) {
				continue
			}
			for _, v := range r.valuesOf(s) {
				under := maps.Clone(v.Labels)
				maps.Copy(under, s.Labels)
				maps.Copy(under, t.Labels)
				all[metricKey(t.Variant.Name, v.Metric, under)] = true
			}
		}
	}
	return all
}

// valuesOf are the values that a step gives when it is answered; the numbers mean nothing.
func (r *reduction) valuesOf(s *steps.Step) []trial.Value {
	var all []trial.Value
	if s.Health != nil {
		for _, n := range r.plan.ClusterNodes() {
			all = append(all, s.Health.Value(n.Name, 0))
		}
	}
	if s.Connect != nil {
		answered := &workload.ConnectReport{
			Count: 1, Outcomes: map[workload.Outcome]int{workload.OutcomeOK: 1}, Connections: []workload.Seen{{Outcome: workload.OutcomeOK}},
		}
		all = append(all, s.Connect.Values(answered, func(netip.Addr) bool { return false }, nil)...)
	}
	return all
}

func metricKey(variant, metric string, labels map[string]string) string {
	return fmt.Sprintf("%s %s %s", variant, metric, results.FormatLabels(labels))
}

// omissions are what is left out, by reason.
type omissions []omission

type omission struct {
	kind, why string
	what      []string
}

func (o *omissions) add(kind, what, why string) {
	for i := range *o {
		if one := &(*o)[i]; one.kind == kind && one.why == why {
			if !slices.Contains(one.what, what) {
				one.what = append(one.what, what)
			}
			return
		}
	}
	*o = append(*o, omission{kind, why, []string{what}})
}

func (o omissions) lines() []string {
	var all []string
	for _, one := range o {
		kind := one.kind
		if kind != "" && len(one.what) > 1 {
			kind += "s"
		}
		all = append(all, strings.TrimSpace(kind+" "+strings.Join(one.what, ", "))+": "+one.why)
	}
	return all
}

package labs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// measures returns what a variant's trials record.
func (l *Lab) measures(v testbed.Variant, n *names.Names) []steps.Measurement {
	var all []steps.Measurement
	if len(l.Spec.Variants) > 0 && l.Spec.Variants[0].Name == v.Name {
		all = append(all, steps.Measurement{Metric: "link_calibration", Labels: map[string][]string{"link": n.Nodes, "direction": nil}})
	}
	for i := range l.Spec.Phases {
		p := &l.Spec.Phases[i]
		if len(p.Variants) > 0 && !slices.Contains(p.Variants, v.Name) {
			continue
		}
		swept := p.Sweep.labels()
		all = append(all, steps.Measurement{Metric: "lb_port_bytes_reply", Labels: swept}) // of trial.Attempt.Perform
		if len(p.Capture) > 0 {
			all = append(all, steps.Measurements(swept, trial.CapturedMetrics()...)...)
		}
		for k := range p.Steps {
			step := &p.Steps[k]
			if !step.TakenBy(v) {
				continue
			}
			for _, m := range step.Measures(n) {
				all = append(all, m.Under(swept))
			}
		}
	}
	return all
}

// labels returns the labels that the sweep adds, and all their values.
func (s *Sweep) labels() map[string][]string {
	all := make(map[string][]string)
	for _, setting := range s.settings() {
		for key, value := range setting.labels {
			if !slices.Contains(all[key], value) {
				all[key] = append(all[key], value)
			}
		}
	}
	return all
}

// checkMeasured returns an error if a metric is not recorded under labels. Slope is the label whose values are compared, if any.
func checkMeasured(all []steps.Measurement, variant, metric, labelsField string, labels map[string]string, slope string) error {
	var known []string
	var of []steps.Measurement
	for _, m := range all {
		if !slices.Contains(known, m.Metric) {
			known = append(known, m.Metric)
		}
		if m.Metric == metric {
			of = append(of, m)
		}
	}
	if len(of) == 0 {
		return fmt.Errorf("metric: variant %s does not measure %q%s", variant, metric, manifest.Suggest(metric, known))
	}
	if slope != "" {
		labels = maps.Clone(labels)
		if labels == nil {
			labels = make(map[string]string)
		}
		labels[slope] = ""
	}
	for _, m := range of {
		if m.Has(labels, slope) {
			return nil
		}
	}
	var forms []string
	for _, m := range of {
		if form := m.Form(); !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	found := trial.DescribeLabels(labels)
	if found == "" {
		found = " without labels"
	}
	return fmt.Errorf("%s: variant %s does not measure %s%s (want %s)", labelsField, variant, metric, found, strings.Join(forms, ", or "))
}

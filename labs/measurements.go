package labs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/topologies/manifest"
)

// measurement is a metric that a lab records, and the values that each of its labels may have. Expectations and exercises are checked
// against them before anything is built; a test holds recorded runs against them.
type measurement struct {
	metric string
	labels map[string][]string
}

// measurements are metrics with the same labels.
func measurements(labels map[string][]string, metrics ...string) []measurement {
	all := make([]measurement, len(metrics))
	for i, metric := range metrics {
		all[i] = measurement{metric, labels}
	}
	return all
}

// one is a label that has one value.
func one(key, value string) map[string][]string { return map[string][]string{key: {value}} }

// measures returns what a variant's trials record.
func (l *Lab) measures(v testbed.Variant, n *names.Names) []measurement {
	var all []measurement
	if len(l.Spec.Variants) > 0 && l.Spec.Variants[0].Name == v.Name {
		all = append(all, measurement{"link_calibration", map[string][]string{"link": n.Nodes, "direction": nil}})
	}
	for i := range l.Spec.Phases {
		p := &l.Spec.Phases[i]
		if len(p.Variants) > 0 && !slices.Contains(p.Variants, v.Name) {
			continue
		}
		swept := p.Sweep.labels()
		all = append(all, measurement{"lb_port_bytes_reply", swept}) // of trial.Attempt.Perform
		if len(p.Capture) > 0 {
			all = append(all, measurements(swept, trial.CapturedMetrics()...)...)
		}
		for k := range p.Steps {
			step := &p.Steps[k]
			_, a, err := step.action()
			if err != nil || !step.takenBy(v) {
				continue
			}
			for _, m := range a.measures(n) {
				all = append(all, m.under(swept, step))
			}
		}
	}
	return all
}

// under adds the labels of a sweep and of the step. A step that withdraws a node has labels of its own in place of the step's.
func (m measurement) under(swept map[string][]string, step *Step) measurement {
	labels := maps.Clone(swept)
	if labels == nil {
		labels = make(map[string][]string)
	}
	if step.Withdraw == nil {
		for key, value := range step.Labels {
			labels[key] = []string{value}
		}
	}
	maps.Copy(labels, m.labels)
	return measurement{m.metric, labels}
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

// has reports whether the measurement is recorded under exactly these labels; the value of any may be whatever it is.
func (m measurement) has(labels map[string]string, anyValue string) bool {
	if len(labels) != len(m.labels) {
		return false
	}
	for key, value := range labels {
		values, there := m.labels[key]
		if !there || key != anyValue && values != nil && !slices.Contains(values, value) {
			return false
		}
	}
	return true
}

// checkMeasured returns an error if a metric is not recorded under labels. Slope is the label whose values are compared, if any.
func checkMeasured(all []measurement, variant, metric, labelsField string, labels map[string]string, slope string) error {
	var known []string
	var of []measurement
	for _, m := range all {
		if !slices.Contains(known, m.metric) {
			known = append(known, m.metric)
		}
		if m.metric == metric {
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
		if m.has(labels, slope) {
			return nil
		}
	}
	var forms []string
	for _, m := range of {
		if form := m.form(); !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	found := trial.DescribeLabels(labels)
	if found == "" {
		found = " without labels"
	}
	return fmt.Errorf("%s: variant %s does not measure %s%s (want %s)", labelsField, variant, metric, found, strings.Join(forms, ", or "))
}

// form is as in "protocol=tcp node=node-a|node-b".
func (m measurement) form() string {
	if len(m.labels) == 0 {
		return "no labels"
	}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(m.labels)) {
		value := strings.Join(m.labels[key], "|")
		if m.labels[key] == nil {
			value = "…"
		}
		parts = append(parts, key+"="+value)
	}
	return strings.Join(parts, " ")
}

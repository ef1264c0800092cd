package steps

import (
	"maps"
	"slices"
	"strings"
)

// Measurement is a metric that a lab records, and the values that each of its labels may have; nil: any. Expectations and exercises are
// checked against them before anything is built; a test holds recorded runs against them.
type Measurement struct {
	Metric string
	Labels map[string][]string
}

// Measurements are metrics with the same labels.
func Measurements(labels map[string][]string, metrics ...string) []Measurement {
	all := make([]Measurement, len(metrics))
	for i, metric := range metrics {
		all[i] = Measurement{metric, labels}
	}
	return all
}

// one is a label that has one value.
func one(key, value string) map[string][]string { return map[string][]string{key: {value}} }

// Under returns the measurement with more labels; those that it has already stay as they are.
func (m Measurement) Under(more map[string][]string) Measurement {
	labels := maps.Clone(more)
	if labels == nil {
		labels = make(map[string][]string)
	}
	maps.Copy(labels, m.Labels)
	return Measurement{m.Metric, labels}
}

// Has reports whether the measurement is recorded under exactly these labels; the value of any may be whatever it is.
func (m Measurement) Has(labels map[string]string, anyValue string) bool {
	if len(labels) != len(m.Labels) {
		return false
	}
	for key, value := range labels {
		values, there := m.Labels[key]
		if !there || key != anyValue && values != nil && !slices.Contains(values, value) {
			return false
		}
	}
	return true
}

// Form formats the labels, as in "protocol=tcp node=node-a|node-b".
func (m Measurement) Form() string {
	if len(m.Labels) == 0 {
		return "no labels"
	}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		value := strings.Join(m.Labels[key], "|")
		if m.Labels[key] == nil {
			value = "…"
		}
		parts = append(parts, key+"="+value)
	}
	return strings.Join(parts, " ")
}

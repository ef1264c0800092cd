package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Sample is one measured value.
type Sample struct {
	Variant string
	// Repetition counts from 0. Samples of one repetition were taken next to each other and are compared as pairs.
	Repetition int
	// Metric is the name of what was measured, as in payload_rate.
	Metric string
	// Unit of Value: bit/s, B, s, packets, ratio …; the same for all samples of a metric.
	Unit string
	// Value may be NaN in an invalid sample only: nothing could be measured.
	Value float64
	Time  time.Time // default: now
	// Invalid is why the sample does not count; a valid sample has none. An invalid one is kept, counted and reported.
	Invalid string
	// Labels set samples of a metric apart, as in protocol=udp or queue=64kb. Each set of labels is summarised on its own.
	Labels map[string]string
}

// Valid reports whether the sample counts.
func (s Sample) Valid() bool { return s.Invalid == "" }

// sampleLine is a sample as it stands in samples.jsonl.
type sampleLine struct {
	Variant    string            `json:"variant"`
	Repetition int               `json:"repetition"`
	Metric     string            `json:"metric"`
	Unit       string            `json:"unit"`
	Value      *float64          `json:"value"` // null: nothing could be measured
	Time       time.Time         `json:"time"`
	Valid      bool              `json:"valid"`
	Reason     string            `json:"reason,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}

// MarshalJSON writes the sample as a line of samples.jsonl.
func (s Sample) MarshalJSON() ([]byte, error) {
	line := sampleLine{s.Variant, s.Repetition, s.Metric, s.Unit, &s.Value, s.Time, s.Valid(), s.Invalid, s.Labels}
	if math.IsNaN(s.Value) {
		line.Value = nil
	}
	return json.Marshal(line)
}

// UnmarshalJSON reads a line of samples.jsonl.
func (s *Sample) UnmarshalJSON(data []byte) error {
	var line sampleLine
	if err := json.Unmarshal(data, &line); err != nil {
		return err
	}
	if line.Valid != (line.Reason == "") {
		return fmt.Errorf("valid is %t with reason %q: an invalid sample has a reason, and only that", line.Valid, line.Reason)
	}
	value := math.NaN()
	if line.Value != nil {
		value = *line.Value
	}
	*s = Sample{line.Variant, line.Repetition, CurrentMetric(line.Metric), line.Unit, value, line.Time, line.Reason, line.Labels}
	return nil
}

// check reports everything that is wrong with the sample on its own.
func (s Sample) check(variants []string) error {
	var errs []error
	if !slices.Contains(variants, s.Variant) {
		errs = append(errs, fmt.Errorf("variant: unknown variant %q (want one of %s)", s.Variant, strings.Join(variants, ", ")))
	}
	if s.Repetition < 0 {
		errs = append(errs, fmt.Errorf("repetition: %d, counts from 0", s.Repetition))
	}
	if s.Metric == "" {
		errs = append(errs, errors.New("metric: is empty"))
	}
	if s.Unit == "" {
		errs = append(errs, errors.New("unit: is empty"))
	}
	if math.IsInf(s.Value, 0) || s.Valid() && math.IsNaN(s.Value) {
		errs = append(errs, fmt.Errorf("value: %v is not a measured value; give a reason in Invalid and NaN", s.Value))
	}
	if _, bad := s.Labels[""]; bad {
		errs = append(errs, errors.New("labels: one has no name"))
	}
	return errors.Join(errs...)
}

// FormatLabels prints labels in the order of their names, as in "protocol=udp queue=64kb".
func FormatLabels(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, " ")
}

package labs

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/results"
)

// Exercise is a task of a lab whose answer a command checks (`dsrlab workshop verify`).
type Exercise struct {
	ID string `json:"id"` // unique in its lab
	// Task is what to find out or to do.
	Task string `json:"task"`
	// Hint helps a participant who is stuck.
	Hint string `json:"hint"`
	// Solve is the solution: commands, one per line, with comments on what to look at.
	Solve  string `json:"solve"`
	Answer Answer `json:"answer"`
}

// Answer is how an exercise's answer is checked; exactly one field is set.
type Answer struct {
	// Measured: the answer is a number, and the participant's own newest run of the lab reports whether it is right.
	Measured *MeasuredAnswer `json:"measured,omitempty"`
	// Text: the answer is a text that this regular expression matches as a whole, in any case.
	Text string `json:"text,omitempty"`
	// Run: there is no answer to give; the newest run of the lab shows whether it was done.
	Run *RunAnswer `json:"run,omitempty"`
}

// MeasuredAnswer is the median of a metric of a variant.
type MeasuredAnswer struct {
	Variant string            `json:"variant"`
	Metric  string            `json:"metric"`
	Labels  map[string]string `json:"labels,omitempty"`
	// Scale divides the metric before it is compared, as 1e6 for an answer in Mbit/s (default 1).
	Scale float64 `json:"scale,omitempty"`
	// Tolerance is how far off the answer may be, in proportion (0: it must be the same number).
	Tolerance float64 `json:"tolerance,omitempty"`
}

// RunAnswer is what the newest run of the lab must show.
type RunAnswer struct {
	// Fault that the run was made with; empty: none.
	Fault string `json:"fault,omitempty"`
	// Claim and its verdict in that run.
	Claim   string          `json:"claim"`
	Verdict results.Verdict `json:"verdict"`
}

func (e *Exercise) validate(l *Lab) []error {
	var errs []error
	for _, field := range []struct{ name, value string }{{"id", e.ID}, {"task", e.Task}, {"hint", e.Hint}, {"solve", e.Solve}} {
		if field.value == "" {
			errs = append(errs, fmt.Errorf("%s: missing", field.name))
		}
	}
	set := 0
	for _, given := range []bool{e.Answer.Measured != nil, e.Answer.Text != "", e.Answer.Run != nil} {
		if given {
			set++
		}
	}
	if set != 1 {
		errs = append(errs, errors.New("answer: want exactly one of measured, text, run"))
	}
	if m := e.Answer.Measured; m != nil {
		errs = append(errs, names.Known("answer.measured.variant", "variant", m.Variant, l.variantNames())...)
	}
	if _, err := regexp.Compile(e.Answer.Text); err != nil {
		errs = append(errs, fmt.Errorf("answer.text: %w", err))
	}
	return errs
}

// checkMeasured returns an error if no trial measures the exercise's answer.
func (e *Exercise) checkMeasured(measured map[string][]steps.Measurement) []error {
	m := e.Answer.Measured
	if m == nil {
		return nil
	}
	all, there := measured[m.Variant]
	if !there {
		return nil
	}
	if err := checkMeasured(all, m.Variant, m.Metric, "labels", m.Labels, ""); err != nil {
		return []error{fmt.Errorf("answer.measured.%w", err)}
	}
	return nil
}

package labs

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dsrlab/dsrlab/labs/expect"
	"github.com/dsrlab/dsrlab/labs/names"
	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/walk"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/report"
)

// ReportSpec is what the report of a run of the lab says first.
type ReportSpec struct {
	// Answer to the lab's question, in one sentence. It may hold the placeholders of a headline, each with the id of an
	// expectation, as in {value:ID}.
	Answer string `json:"answer,omitempty"`
	// Pictures that are drawn; the first one proves the answer.
	Pictures []report.Picture `json:"pictures,omitempty"`
}

// Story returns what the lab says of a run of it. The answer is empty if something in it was not measured.
func (l *Lab) Story(run *results.Run) report.Story {
	story := report.Story{Title: l.Metadata.Title, Question: l.Spec.Question, Pictures: l.Spec.Report.Pictures}
	for _, p := range story.Pictures {
		if p.Walk != "" && !slices.ContainsFunc(story.Walks, func(w report.Walk) bool { return w.Phase == p.Walk }) {
			story.Walks = append(story.Walks, walk.Of(run, p.Walk)...)
		}
	}
	story.Answer = l.expectations().Headline(&expect.Expectation{Headline: l.Spec.Report.Answer}, results.Summarize(run), run.Ratio)
	return story
}

// StoryOf returns the story of a run whose lab is in the catalogue; of any other an empty one.
func StoryOf(run *results.Run) report.Story {
	names, err := Catalogue()
	if err != nil || !slices.Contains(names, run.Manifest.Lab) {
		return report.Story{}
	}
	lab, err := Lookup(run.Manifest.Lab)
	if err != nil {
		return report.Story{}
	}
	return lab.Story(run)
}

// validate returns every error in what a lab says of its report, each beginning with its field.
func (r *ReportSpec) validate(l *Lab, measured map[string][]steps.Measurement) []error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, err := range l.expectations().CheckPlaceholders(r.Answer, nil) {
		fail("answer: %w", err)
	}
	for i, p := range r.Pictures {
		field := fmt.Sprintf("pictures[%d].", i)
		if p.Name == "" || slices.IndexFunc(r.Pictures, func(o report.Picture) bool { return o.Name == p.Name }) != i {
			fail(field+"name: found %q (want a unique name)", p.Name)
		}
		if p.Title == "" {
			fail("%stitle: missing (want what the picture shows)", field)
		}
		if p.Walk != "" {
			for _, err := range l.checkWalk(p) {
				fail("%s%w", field, err)
			}
		} else if len(p.Metrics) == 0 {
			fail("%smetrics: missing (want at least one)", field)
		}
		if len(p.Names) > 0 && len(p.Names) != len(p.Labels) {
			fail("%snames: found %d (want one for each set of labels, %d)", field, len(p.Names), len(p.Labels))
		}
		if p.Over != "" && len(p.Metrics) > 1 {
			fail("%sover: not together with several metrics", field)
		}
		for _, err := range names.Each("variants", "variant", p.Variants, l.variantNames()) {
			fail("%s%w", field, err)
		}
		if p.Series {
			for _, err := range l.checkSeries(p) {
				fail("%s%w", field, err)
			}
			continue
		}
		for _, metric := range p.Metrics {
			if !isMeasured(metric, measured) {
				fail("%smetrics: %s: no phase measures it", field, metric)
			}
		}
	}
	return errs
}

// checkWalk returns every error in a picture of a walk but those that any picture may have.
func (l *Lab) checkWalk(p report.Picture) []error {
	var errs []error
	if i := slices.IndexFunc(l.Spec.Phases, func(phase Phase) bool { return phase.Name == p.Walk }); i < 0 || len(l.Spec.Phases[i].Capture) == 0 {
		errs = append(errs, fmt.Errorf("walk: %q is no phase that captures", p.Walk))
	}
	if len(p.Metrics) > 0 || p.Over != "" || p.Series || p.Log {
		errs = append(errs, errors.New("walk: not together with metrics, over, series or log"))
	}
	return errs
}

// checkSeries returns every error in a picture of series.
func (l *Lab) checkSeries(p report.Picture) []error {
	var known []string
	for i := range l.Spec.Phases {
		for k := range l.Spec.Phases[i].Steps {
			known = append(known, l.Spec.Phases[i].Steps[k].Series()...)
		}
	}
	var errs []error
	for _, metric := range p.Metrics {
		if !slices.Contains(known, metric) {
			errs = append(errs, fmt.Errorf("metrics: %s: no phase records it as a series", metric))
		}
	}
	if len(p.Metrics) > 1 || p.Over != "" || p.Log {
		errs = append(errs, errors.New("series: not together with several metrics, over or log"))
	}
	return errs
}

// isMeasured reports whether a variant measures a metric, or if what is measured is not known.
func isMeasured(metric string, measured map[string][]steps.Measurement) bool {
	for _, all := range measured {
		if slices.ContainsFunc(all, func(m steps.Measurement) bool { return m.Metric == metric }) {
			return true
		}
	}
	return measured == nil
}

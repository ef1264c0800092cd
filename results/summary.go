package results

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/results/stats"
)

// Summary is summary.json: what a run showed, derived from its folder alone.
type Summary struct {
	Schema  string          `json:"schema"`
	Run     string          `json:"run"`
	Lab     string          `json:"lab"`
	Result  Result          `json:"result"`
	Claims  []ClaimVerdict  `json:"claims"`
	Metrics []MetricSummary `json:"metrics"`
	// Reasons are why the result is not Passed.
	Reasons []string `json:"-"`
	// Descriptive is for a run that expected nothing: it was not judged.
	Descriptive bool `json:"-"`
	// Expectations are those of the manifest with their outcome.
	Expectations []ExpectationOutcome `json:"-"`
	// Unclaimed are the headlines of expectations that speak for no claim.
	Unclaimed []string `json:"-"`
}

// ClaimVerdict is the verdict of a run on one claim.
type ClaimVerdict struct {
	ID       string  `json:"id"`
	Verdict  Verdict `json:"verdict"`
	Evidence string  `json:"evidence"`
	// Headlines are the figures that the verdict rests on, in a few words each, the most telling ones first.
	Headlines []string `json:"headlines,omitempty"`
}

// MetricSummary describes the samples of one metric of one variant under one set of labels.
type MetricSummary struct {
	Variant string `json:"variant"`
	Metric  string `json:"metric"`
	Unit    string `json:"unit"`
	// N counts all samples, Valid those that the median rests on.
	N     int `json:"n"`
	Valid int `json:"valid"`
	// Median is null without a valid sample; CI95, its 95 % confidence interval, with fewer than two.
	Median *float64          `json:"median"`
	CI95   *Interval         `json:"ci95"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Interval is a lower and an upper bound.
type Interval [2]float64

// ExpectationOutcome is an expectation and how it went.
type ExpectationOutcome struct {
	Expectation
	Outcome  Outcome
	Evidence string
	// Headline is the evidence in a few words; empty where the lab gave it none.
	Headline string
}

// Summarize derives the summary of a run. The same folder gives the same summary, whenever and wherever.
func Summarize(run *Run) Summary {
	summary := Verdicts(run)
	for _, group := range run.Groups() {
		summary.Metrics = append(summary.Metrics, group.Summarize(run.Manifest.Seed))
	}
	return summary
}

// Verdicts is Summarize without the metrics, which take most of its time.
func Verdicts(run *Run) Summary {
	m := run.Manifest
	summary := Summary{Schema: Schema, Run: m.Run, Lab: m.Lab, Claims: []ClaimVerdict{}, Metrics: []MetricSummary{}, Descriptive: m.Descriptive}
	summary.Expectations = run.expectations()
	for _, id := range m.Claims {
		summary.Claims = append(summary.Claims, run.judge(id, summary.Expectations))
	}
	summary.Unclaimed = run.Headlines(summary.Expectations, func(e ExpectationOutcome) bool { return len(e.Claims) == 0 })
	summary.Result, summary.Reasons = run.result(summary)
	return summary
}

// Group is all samples of one metric of one variant under one set of labels.
type Group struct {
	Variant, Metric, Unit string
	Labels                map[string]string
	Samples               []Sample
}

// Groups sorts the run's samples by metric (in the order of their first sample), variant (in the manifest's order) and
// labels (in the order of their first sample).
func (r *Run) Groups() []Group {
	var groups []Group
	index := map[string]int{}
	for _, s := range r.Samples {
		key, _ := json.Marshal([]any{s.Metric, s.Variant, s.Labels}) // of strings only: cannot fail
		i, ok := index[string(key)]
		if !ok {
			i = len(groups)
			index[string(key)] = i
			groups = append(groups, Group{Variant: s.Variant, Metric: s.Metric, Unit: s.Unit, Labels: s.Labels})
		}
		groups[i].Samples = append(groups[i].Samples, s)
	}
	metrics := r.Metrics()
	slices.SortStableFunc(groups, func(a, b Group) int {
		if d := slices.Index(metrics, a.Metric) - slices.Index(metrics, b.Metric); d != 0 {
			return d
		}
		return slices.Index(r.Manifest.Variants, a.Variant) - slices.Index(r.Manifest.Variants, b.Variant)
	})
	return groups
}

// Values are the valid values of the group, in the order in which they were measured.
func (g Group) Values() []float64 {
	values := make([]float64, 0, len(g.Samples))
	for _, s := range g.Samples {
		if s.Valid() {
			values = append(values, s.Value)
		}
	}
	return values
}

// Summarize describes the group; seed is that of the run.
func (g Group) Summarize(seed uint64) MetricSummary {
	values := g.Values()
	m := MetricSummary{
		Variant: g.Variant, Metric: g.Metric, Unit: g.Unit, Labels: g.Labels, N: len(g.Samples), Valid: len(values),
	}
	estimate, err := stats.Bootstrap{Seed: g.seed(seed)}.Median(values)
	if err != nil { // no valid sample
		return m
	}
	m.Median = &estimate.Value
	if estimate.HasInterval() {
		m.CI95 = &Interval{estimate.Lo, estimate.Hi}
	}
	return m
}

// seed makes a seed of the group's own from that of the run, so that no interval depends on what else was measured.
func (g Group) seed(run uint64) uint64 {
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%d\x00%s\x00%s\x00%s", run, g.Metric, g.Variant, FormatLabels(g.Labels))
	return hash.Sum64()
}

// Find is the summary of a metric of a variant under exactly these labels (nil: without labels).
func (s Summary) Find(variant, metric string, labels map[string]string) (MetricSummary, bool) {
	for _, m := range s.Metrics {
		if m.Variant == variant && m.Metric == metric && FormatLabels(m.Labels) == FormatLabels(labels) {
			return m, true
		}
	}
	return MetricSummary{}, false
}

// Reason is Reasons in one line.
func (s Summary) Reason() string { return strings.Join(s.Reasons, "; ") }

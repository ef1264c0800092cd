// Package expect judges what a lab expects of a run by what the run recorded, and says it in headlines: values in, values out.
package expect

import (
	"slices"

	"github.com/dsrlab/dsrlab/topologies"
)

// Expectation is what the median of a metric of a variant should be.
type Expectation struct {
	ID      string            `json:"id"`
	Text    string            `json:"text"`
	Claims  []string          `json:"claims"`
	Variant string            `json:"variant"`
	Metric  string            `json:"metric"`
	Labels  map[string]string `json:"labels,omitempty"`
	// Over compares with the same metric of another variant: the bounds are for the ratio, pair by pair of repetitions, and
	// are broken when the ratio's whole 95 % interval lies beyond them.
	Over string `json:"over,omitempty"`
	// Slope names a label that is a number: the bounds are for how much the metric grows for each 1 of it (least squares
	// through the medians under all its values; Labels are the others).
	Slope string `json:"slope,omitempty"`
	// OverLabels divides what was measured by the median of the same metric and variant under these labels.
	OverLabels map[string]string `json:"overLabels,omitempty"`
	// Substrate is the only one that it is for, if it is not for all: runs on others leave it out, and claims for which nothing
	// else speaks.
	Substrate topologies.SubstrateKind `json:"substrate,omitempty"`
	// Bounds, both included. One of them must be given.
	AtLeast *float64 `json:"atLeast,omitempty"`
	AtMost  *float64 `json:"atMost,omitempty"`
	// Headline is what a claim's one line says of it, in at most 55 characters; not every expectation of a claim needs one. It
	// may hold {value} (the median, with its unit), {percent} and {ratio} (what the bounds are for, in percent or as a number), {over}
	// (what is compared with, with its unit) and {of} ("940 of 941 Mbit/s"), and the same of another expectation as {value:ID}.
	Headline string `json:"headline,omitempty"`
	// Differs is for an expectation that is not the slide's: what the slide says, and why we measure something else. When
	// it holds, its claims differ, and the run passes all the same.
	Differs string `json:"differs,omitempty"`
}

// List are the expectations of a lab, in its order.
type List []Expectation

// Find returns the expectation with an id; nil if there is none.
func (l List) Find(id string) *Expectation {
	i := slices.IndexFunc(l, func(e Expectation) bool { return e.ID == id })
	if i < 0 {
		return nil
	}
	return &l[i]
}

// On returns those that a run on a substrate is held against.
func (l List) On(substrate topologies.SubstrateKind) List {
	return slices.DeleteFunc(slices.Clone(l), func(e Expectation) bool { return e.Substrate != "" && e.Substrate != substrate })
}

// Claims returns the ids of the claims that the expectations check, each once.
func (l List) Claims() []string {
	var all []string
	for _, e := range l {
		for _, id := range e.Claims {
			if !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
	}
	return all
}

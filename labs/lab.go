// Package labs runs scripted scenarios. A lab is data: a topology, variants of a data path, phases of steps, and expectations
// that name the talk's claims. Runner builds the topology, runs every phase under every variant, interleaved, and records what
// was measured; expectations are judged from the record.
package labs

//go:generate go run ./stepdoc

import (
	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
)

// APIVersion and Kind stand at the top of every lab.yaml.
const (
	APIVersion = topologies.APIVersion
	Kind       = "Lab"
)

// Lab is one lab.yaml.
type Lab struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
}

// Metadata names a lab.
type Metadata struct {
	Name  string `json:"name"`  // NN-name, as its folder
	Title string `json:"title"` // a short sentence
}

// Spec is what a lab does.
type Spec struct {
	// Question is what the lab answers.
	Question string `json:"question"`
	// Report is what a report of a run says first.
	Report ReportSpec `json:"report,omitzero"`
	// Topology is a name in the catalogue.
	Topology string `json:"topology"`
	// Seed of everything that is random in the lab and its statistics.
	Seed uint64 `json:"seed"`
	// Variants are the ways to run it, in the order in which their trials are interleaved.
	Variants []testbed.Variant `json:"variants"`
	// Phases run one after the other.
	Phases []Phase `json:"phases"`
	// Expectations are judged when all phases are done.
	Expectations []Expectation `json:"expectations"`
	// Requires lists programs and features that the lab needs from the machine, as text.
	Requires []string `json:"requires,omitempty"`
	// Exercises are for participants who work through the lab on their own.
	Exercises []Exercise `json:"exercises,omitempty"`
}

// Phase is a list of steps that each variant runs.
type Phase struct {
	Name string `json:"name"`
	// Narration is shown before the phase.
	Narration string `json:"narration"`
	// Repetitions of all variants, interleaved: A B C A B C (default 1).
	Repetitions int `json:"repetitions,omitempty"`
	// Variants of the lab that take part (default: all).
	Variants []string `json:"variants,omitempty"`
	// Sweep repeats everything for each value of something.
	Sweep *Sweep `json:"sweep,omitempty"`
	// Capture is at the devices towards the fabric of these nodes, in the first repetition.
	Capture []string     `json:"capture,omitempty"`
	Steps   []steps.Step `json:"steps"`
}

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

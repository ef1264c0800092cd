// Package labs runs scripted scenarios. A lab is data: a topology, variants of a data path, phases of steps, and expectations
// that name the talk's claims. Runner builds the topology, runs every phase under every variant, interleaved, and records what
// was measured; expectations are judged from the record.
package labs

//go:generate go run ./stepdoc

import (
	"github.com/dsrlab/dsrlab/labs/expect"
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
	Expectations []expect.Expectation `json:"expectations"`
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

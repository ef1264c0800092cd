// Package results records what a lab measured, and derives from the record everything that is reported: the summary, the
// verdicts on the talk's claims, comparisons.
//
// A run is a folder (see Recorder for writing and Run for reading one):
//
//	manifest.json   what was run: lab, variants, expectations, topology and its hash, git revision, seed, start and end
//	env.json        the machine before and after, and what the lab knows of its own links
//	samples.jsonl   one measured value per line
//	series.jsonl    how values went over time or were distributed, one series per line; only where something was recorded like this
//	events.jsonl    what happened, one event per line: steps, narration, evidence, drops, outcomes of expectations, verdicts
//	raw/            captures and logs
//	summary.json    derived, as everything else is; written when the run ends and rendered again at will
//
// The package knows nothing of labs, topologies or the data path: callers hand over what they know as data.
package results

import "strings"

// Schema names the version of the format of run folders and summaries.
const Schema = "dsrlab.results/v1"

// Result is the outcome of a whole run.
type Result string

const (
	// Passed means that every expectation ran and held, and that every claim of the run was measured.
	Passed Result = "passed"
	// Failed means that an expectation ran and did not hold, or that the run broke.
	Failed Result = "failed"
	// Untested means that something that should have been measured was not. Nothing is known to be wrong, or right.
	Untested Result = "untested"
	// Unsupported means that the machine lacks something that the lab needs.
	Unsupported Result = "unsupported"
)

// ExitCode is the exit code of a command whose outcome r is: 0 passed, 1 failed, 3 unsupported, 4 untested.
func (r Result) ExitCode() int {
	switch r {
	case Passed:
		return 0
	case Unsupported:
		return 3
	case Untested:
		return 4
	default:
		return 1
	}
}

func (r Result) severity() int {
	switch r {
	case Passed:
		return 0
	case Untested:
		return 1
	case Unsupported:
		return 2
	default:
		return 3
	}
}

func (r Result) known() bool { return r == Passed || r == Failed || r == Untested || r == Unsupported }

// worse is the one of two results that says more against the run: failed, unsupported, untested, passed.
func worse(a, b Result) Result {
	if b.severity() > a.severity() {
		return b
	}
	return a
}

// Verdict is what a measurement says about a claim of the talk.
type Verdict string

const (
	// Reproduced means that the measurement shows what the claim says.
	Reproduced Verdict = "reproduced"
	// Differs means that the measurement shows something else; it wins over the slide.
	Differs Verdict = "differs"
	// NotMeasured means that no measurement speaks for or against the claim.
	NotMeasured Verdict = "not-measured"
)

// Words returns the verdict as the list of claims prints it: reproduced, differs or not measured.
func (v Verdict) Words() string {
	return strings.ReplaceAll(string(v), "-", " ")
}

func (v Verdict) severity() int {
	switch v {
	case Reproduced:
		return 0
	case NotMeasured:
		return 1
	default:
		return 2
	}
}

func (v Verdict) known() bool {
	return v == Reproduced || v == Differs || v == NotMeasured
}

// Outcome says how one expectation went.
type Outcome string

const (
	Held   Outcome = "held"    // it ran, and what was expected was measured
	Broken Outcome = "failed"  // it ran, and something else was measured
	NotRun Outcome = "not-run" // nothing was measured that could decide it
)

func (o Outcome) known() bool { return o == Held || o == Broken || o == NotRun }

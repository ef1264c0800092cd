package results

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"runtime/debug"
	"slices"
	"time"
)

// Manifest says what a run is: all that is known before it starts, and how it ended.
type Manifest struct {
	Schema string `json:"schema"`
	// Run is the id of the run and the name of its folder (default: NewRunID).
	Run string `json:"run"`
	// Lab is the lab's name, as in 02-throughput.
	Lab string `json:"lab"`
	// Substrate is what the topology was built from, netns or kind, or cluster for one that exists (see On).
	Substrate string `json:"substrate,omitempty"`
	// Variants are the ways in which the lab is run. Samples may only name these.
	Variants []string `json:"variants"`
	// Descriptive is for a run that describes what it finds and expects nothing: it passes if it measured something.
	Descriptive bool `json:"descriptive,omitempty"`
	// Faults are what was broken on purpose in variants, by their names. Such a run never passes, and no claim rests on it.
	Faults map[string]string `json:"faults,omitempty"`
	// Repetitions is how many samples of each metric a variant is meant to give.
	Repetitions int `json:"repetitions"`
	// Claims are the ids of the claims that the run checks.
	Claims []string `json:"claims"`
	// Expectations are checked during the run; each must be given an outcome.
	Expectations []Expectation `json:"expectations"`
	Topology     TopologyRef   `json:"topology"`
	// Scale is the part of the topology's rates that the links had, as in 1/2; empty in runs from before there were scales: 1.
	Scale string `json:"scale,omitempty"`
	// ScaleReason says how it came to the scale.
	ScaleReason string   `json:"scaleReason,omitempty"`
	Revision    Revision `json:"revision"`
	// Seed of everything random in the run, of the statistics too.
	Seed    uint64    `json:"seed"`
	Started time.Time `json:"started"`
	// Ended is zero in a run that did not come to its end.
	Ended time.Time `json:"ended,omitzero"`
	// Interrupted is set if it ended before its last trial, by a signal, a key or an error; Reason says by which.
	Interrupted bool `json:"interrupted,omitempty"`
	// Reported is what the lab itself said about its outcome, and why; the summary can only be worse.
	Reported Result `json:"reported,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// Expectation is something that must be measured for the run to pass.
type Expectation struct {
	// ID is unique in the run.
	ID string `json:"id"`
	// Text says what is expected, as a sentence for people.
	Text string `json:"text"`
	// Claims are the ids of the claims that it speaks for; all of their expectations must hold for "reproduced".
	Claims []string `json:"claims,omitempty"`
	// Variant is the variant that it is about, if it is about one, and Metric, Labels what of it.
	Variant string            `json:"variant,omitempty"`
	Metric  string            `json:"metric,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	// Substrate is the only one that it is checked on, if it is not checked on all: runs on others don't have it.
	Substrate string `json:"substrate,omitempty"`
	// Differs is what the slide says instead, and why: of an expectation that is ours and not the slide's.
	Differs string `json:"differs,omitempty"`
}

// namespaces is the substrate that needs nothing but Linux.
const namespaces = "netns"

// On is the substrate of the run. Runs that name none were made when there was only one.
func (m Manifest) On() string { return cmp.Or(m.Substrate, namespaces) }

// Scaled reports whether the links had less than the topology's rates.
func (m Manifest) Scaled() bool { return m.Scale != "" && m.Scale != "1" }

// TopologyRef names the topology of a run and keeps its text.
type TopologyRef struct {
	Name string `json:"name"`
	// Hash identifies the content (SHA-256, hex).
	Hash string `json:"hash"`
	// Document is the topology file as it was parsed.
	Document string `json:"document,omitempty"`
}

// Revision is the version control state that the program was built from.
type Revision struct {
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"` // with changes that are in no commit
}

// BuildRevision reads the revision that the Go tool stamped into this program. It is empty in tests and where the
// program was built outside of a checkout.
func BuildRevision() Revision {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Revision{}
	}
	var rev Revision
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			rev.Commit = setting.Value
		case "vcs.time":
			rev.Time = setting.Value
		case "vcs.modified":
			rev.Modified = setting.Value == "true"
		}
	}
	return rev
}

// NewRunID makes the id of a run: time (UTC), lab, and five random characters that keep runs of one second apart. Ids
// sort by time.
func NewRunID(at time.Time, lab string, random io.Reader) (string, error) {
	const letters = "abcdefghijkmnpqrstuvwxyz23456789" // 32, without the look-alikes l, o, 0 and 1
	var raw [5]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("make run id: %w", err)
	}
	for i := range raw {
		raw[i] = letters[raw[i]%32]
	}
	return fmt.Sprintf("%s-%s-%s", at.UTC().Format("20060102T150405Z"), lab, raw[:]), nil
}

// Validate checks the manifest against itself and against the list of claims; it reports all errors at once.
func (m Manifest) Validate(claims Claims) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if m.Schema != Schema {
		fail("schema: %q, want %q", m.Schema, Schema)
	}
	name := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	if !name.MatchString(m.Run) {
		fail("run: %q must be letters, digits, dots, dashes and underscores, as it names a folder", m.Run)
	}
	if !name.MatchString(m.Lab) {
		fail("lab: %q must be letters, digits, dots, dashes and underscores", m.Lab)
	}
	if m.Repetitions < 1 {
		fail("repetitions: %d, want at least 1", m.Repetitions)
	}
	if len(m.Variants) == 0 {
		fail("variants: none, want at least one")
	}
	for i, variant := range m.Variants {
		if variant == "" || slices.Contains(m.Variants[:i], variant) {
			fail("variants[%d]: %q must be a name of its own", i, variant)
		}
	}
	for _, variant := range slices.Sorted(maps.Keys(m.Faults)) {
		if !slices.Contains(m.Variants, variant) {
			fail("faults: %q is no variant of the run", variant)
		}
	}
	for i, id := range m.Claims {
		if _, ok := claims.Find(id); !ok {
			fail("claims[%d]: %q is not in claims.yaml", i, id)
		} else if slices.Contains(m.Claims[:i], id) {
			fail("claims[%d]: %s is there twice", i, id)
		}
	}
	if m.Descriptive && len(m.Expectations)+len(m.Claims) > 0 {
		fail("descriptive: it expects something")
	}
	for i, e := range m.Expectations {
		errs = append(errs, m.checkExpectation(i, e)...)
	}
	return errors.Join(errs...)
}

func (m Manifest) checkExpectation(i int, e Expectation) (errs []error) {
	fail := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("expectations[%d]"+format, append([]any{i}, args...)...))
	}
	if e.ID == "" || slices.ContainsFunc(m.Expectations[:i], func(o Expectation) bool { return o.ID == e.ID }) {
		fail(".id: %q must be an id of its own", e.ID)
	}
	if e.Text == "" {
		fail(".text: is empty, want a sentence")
	}
	if e.Variant != "" && !slices.Contains(m.Variants, e.Variant) {
		fail(".variant: %q is no variant of the run", e.Variant)
	}
	if e.Substrate != "" && e.Substrate != m.On() {
		fail(".substrate: is for runs on %s, and this one is on %s", e.Substrate, m.On())
	}
	for _, id := range e.Claims {
		if !slices.Contains(m.Claims, id) {
			fail(".claims: %s is not among the claims of the run", id)
		}
	}
	return errs
}

func (m Manifest) expectation(id string) (Expectation, bool) {
	for _, e := range m.Expectations {
		if e.ID == id {
			return e, true
		}
	}
	return Expectation{}, false
}

package results

import (
	"fmt"
	"slices"
	"strings"
)

// Parity is whether two runs of a lab on different substrates found the same. What can be checked on one substrate only is
// listed, and doesn't count.
type Parity struct {
	// A and B are the substrates of the runs.
	A string `json:"a"`
	B string `json:"b"`
	// Holds is true if every claim has the same verdict on both substrates, and every expectation the same outcome. What was
	// measured on neither is not the same: nothing is known of it.
	Holds bool `json:"holds"`
	// Text says so as a sentence.
	Text         string                `json:"text"`
	Expectations []ComparedExpectation `json:"expectations"`
	// Differing names the claims and then the expectations that are not the same.
	Differing []string `json:"differing"`
}

// ComparedExpectation is an expectation that at least one of the runs checks; an outcome is empty where the run does not.
type ComparedExpectation struct {
	ID   string  `json:"id"`
	Text string  `json:"text"`
	A    Outcome `json:"a"`
	B    Outcome `json:"b"`
	// Same is set if it ran in both, with the same outcome.
	Same bool `json:"same"`
	// Only is the substrate that it can be checked on, where one of the runs was made on another.
	Only string `json:"only,omitempty"`
}

func parityOf(a, b *Run, claims []ComparedClaim) *Parity {
	p := &Parity{
		A: a.Manifest.On(), B: b.Manifest.On(), Expectations: compareExpectations(a.expectations(), b.expectations()), Differing: []string{},
	}
	var claimed, expected tally
	for _, c := range claims {
		p.count(&claimed, c.ID, c.Same, c.Only)
	}
	for _, e := range p.Expectations {
		p.count(&expected, e.ID, e.Same, e.Only)
	}
	begins := "no parity"
	if p.Holds = len(p.Differing) == 0 && claimed.all+expected.all > 0; p.Holds {
		begins = "parity"
	}
	p.Text = fmt.Sprintf("%s: %d of %d claims have the same verdict on %s and on %s; %d of %d expectations agree",
		begins, claimed.same, claimed.all, p.A, p.B, expected.same, expected.all)
	return p
}

// tally counts what both substrates can check.
type tally struct{ same, all int }

func (p *Parity) count(t *tally, id string, same bool, only string) {
	switch {
	case only != "":
		return
	case same:
		t.same++
	default:
		p.Differing = append(p.Differing, id)
	}
	t.all++
}

func compareExpectations(as, bs []ExpectationOutcome) []ComparedExpectation {
	compared := []ComparedExpectation{}
	for _, e := range as {
		one := ComparedExpectation{ID: e.ID, Text: e.Text, A: e.Outcome, Only: e.Substrate}
		if i := slices.IndexFunc(bs, func(other ExpectationOutcome) bool { return other.ID == e.ID }); i >= 0 {
			one.B, one.Only = bs[i].Outcome, ""
		}
		one.Same = one.A == one.B && one.A != NotRun
		compared = append(compared, one)
	}
	for _, e := range bs {
		if !slices.ContainsFunc(as, func(other ExpectationOutcome) bool { return other.ID == e.ID }) {
			compared = append(compared, ComparedExpectation{ID: e.ID, Text: e.Text, B: e.Outcome, Only: e.Substrate})
		}
	}
	return compared
}

// only is the substrate of the run if all that speaks for a claim is checked on that one alone; empty otherwise.
func (m Manifest) only(claim string) string {
	found := ""
	for _, e := range m.Expectations {
		if !slices.Contains(e.Claims, claim) {
			continue
		}
		if e.Substrate == "" {
			return ""
		}
		found = e.Substrate
	}
	return found
}

// Reason says what is not the same; empty if parity holds.
func (p *Parity) Reason() string {
	switch {
	case p.Holds:
		return ""
	case len(p.Differing) == 0:
		return "neither run checks anything that the other one does"
	}
	return "not the same on " + p.A + " and on " + p.B + ": " + strings.Join(p.Differing, ", ")
}

package results

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// neverReached is the evidence of an expectation that nothing was recorded of.
const neverReached = "was never reached"

// expectations gives each expectation of the manifest its outcome: held if it ran and held each time, failed if it failed
// once, not run otherwise.
func (r *Run) expectations() []ExpectationOutcome {
	outcomes := make([]ExpectationOutcome, 0, len(r.Manifest.Expectations))
	for _, e := range r.Manifest.Expectations {
		outcomes = append(outcomes, ExpectationOutcome{Expectation: e, Outcome: NotRun, Evidence: neverReached})
	}
	seen := map[string]bool{}
	for _, event := range r.Events {
		var data expectationData
		if event.Kind != EventExpectation || json.Unmarshal(event.Data, &data) != nil {
			continue
		}
		i := slices.IndexFunc(outcomes, func(o ExpectationOutcome) bool { return o.ID == data.ID })
		if i < 0 {
			continue
		}
		if !seen[data.ID] || data.Outcome.severity() >= outcomes[i].Outcome.severity() {
			outcomes[i].Outcome, outcomes[i].Evidence, outcomes[i].Headline = data.Outcome, event.Message, data.Headline
		}
		seen[data.ID] = true
	}
	return outcomes
}

func (o Outcome) severity() int {
	switch o {
	case Held:
		return 0
	case NotRun:
		return 1
	default:
		return 2
	}
}

// judge finds the verdict on a claim from its expectations and from what the lab concluded itself. The one that speaks more
// against the claim counts: differs, not measured, reproduced.
func (r *Run) judge(id string, expectations []ExpectationOutcome) ClaimVerdict {
	found := ClaimVerdict{ID: id, Verdict: NotMeasured, Evidence: "no expectation and no verdict of the run speaks for it"}
	var held, broken, missing []string
	for _, e := range expectations {
		if !slices.Contains(e.Claims, id) {
			continue
		}
		switch e.Outcome {
		case Held:
			held = append(held, e.Evidence)
		case Broken:
			broken = append(broken, fmt.Sprintf("expected %q, but: %s", e.Text, e.found()))
		default:
			missing = append(missing, fmt.Sprintf("not run: %s (%s)", e.Text, e.Evidence))
		}
	}
	switch {
	case len(broken) > 0:
		found = ClaimVerdict{ID: id, Verdict: Differs, Evidence: strings.Join(broken, "; ")}
	case len(missing) > 0:
		found = ClaimVerdict{ID: id, Verdict: NotMeasured, Evidence: strings.Join(missing, "; ")}
	case len(held) > 0:
		found = ClaimVerdict{ID: id, Verdict: Reproduced, Evidence: strings.Join(held, "; ")}
	}
	concluded := false
	for _, event := range r.Events {
		var data verdictData
		if event.Kind != EventVerdict || json.Unmarshal(event.Data, &data) != nil || data.Claim != id {
			continue
		}
		first := !concluded && len(held)+len(broken)+len(missing) == 0
		if first || data.Verdict.severity() > found.Verdict.severity() {
			found.Verdict, found.Evidence = data.Verdict, event.Message
		}
		concluded = true
	}
	found.Headlines = r.Headlines(expectations, func(e ExpectationOutcome) bool { return slices.Contains(e.Claims, id) })
	if len(found.Headlines) == 0 {
		found.Headlines = []string{found.Evidence}
	}
	if r.Manifest.Scaled() {
		found.Headlines = append([]string{"rates × " + r.Manifest.Scale}, found.Headlines...)
	}
	return found
}

// result derives the outcome of the run, and why it is not passed.
func (r *Run) result(s Summary) (Result, []string) {
	result, reasons := Passed, []string(nil)
	found := func(as Result, format string, args ...any) {
		result = worse(result, as)
		reasons = append(reasons, fmt.Sprintf(format, args...))
	}
	for _, variant := range slices.Sorted(maps.Keys(r.Manifest.Faults)) {
		found(Untested, "variant %s was broken on purpose: %s", variant, r.Manifest.Faults[variant])
	}
	if r.Manifest.Reported != "" && r.Manifest.Reported != Passed {
		found(r.Manifest.Reported, "%s", r.Manifest.Reason)
	}
	if r.State() == Unfinished {
		found(Untested, "the run is unfinished")
	}
	claimsOf := func(e ExpectationOutcome) string {
		if len(e.Claims) == 0 {
			return ""
		}
		return " [" + strings.Join(e.Claims, ", ") + "]"
	}
	// What an early end left out is its consequence, not a reason of its own.
	cut := r.Manifest.Reported == Untested
	for _, e := range s.Expectations {
		if cut && e.Outcome == NotRun && e.Evidence == neverReached {
			continue
		}
		switch e.Outcome {
		case Broken:
			found(Failed, "expectation %s%s failed: %s: %s", e.ID, claimsOf(e), e.Text, e.found())
		case NotRun:
			found(Untested, "expectation %s%s did not run: %s: %s", e.ID, claimsOf(e), e.Text, e.found())
		}
	}
	for _, c := range s.Claims {
		if c.Verdict == NotMeasured && !slices.ContainsFunc(s.Expectations, func(e ExpectationOutcome) bool {
			return e.Outcome == NotRun && slices.Contains(e.Claims, c.ID) // said already
		}) {
			found(Untested, "claim %s was not measured: %s", c.ID, c.Evidence)
		}
	}
	if r.Manifest.Descriptive {
		if !slices.ContainsFunc(r.Samples, Sample.Valid) {
			found(Untested, "nothing was measured")
		}
		return result, reasons // what is missing belongs to the description
	}
	if len(s.Expectations)+len(s.Claims) == 0 {
		found(Untested, "the run has no expectation and no claim")
	}
	for _, gap := range r.unmeasured() {
		found(Untested, "%s", gap)
	}
	return result, reasons
}

// unmeasured names what was sampled, but never once validly.
func (r *Run) unmeasured() []string {
	type of struct{ metric, variant string }
	valid, total, why := map[of]int{}, map[of]int{}, map[of]string{}
	var order []of
	for _, s := range r.Samples {
		key := of{s.Metric, s.Variant}
		if total[key]++; total[key] == 1 {
			order = append(order, key)
		}
		if s.Valid() {
			valid[key]++
		} else {
			why[key] = s.Invalid
		}
	}
	var gaps []string
	for _, key := range order {
		if valid[key] == 0 {
			gaps = append(gaps, fmt.Sprintf("none of %d samples of %s for variant %s is valid: %s",
				total[key], key.metric, key.variant, why[key]))
		}
	}
	return gaps
}

// found is the evidence without the expectation's own text, which labs put before it.
func (e ExpectationOutcome) found() string { return strings.TrimPrefix(e.Evidence, e.Text+": ") }

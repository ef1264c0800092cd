package console

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
)

// verdicts are printed at a width.
func verdicts(t *testing.T, width int, o VerdictOptions, summaries ...results.Summary) string {
	t.Helper()
	t.Setenv("NO_COLOR", "1")
	var b bytes.Buffer
	require.NoError(t, Verdicts(terminal.Fixed{Writer: &b, Width: width}, summaries, o))
	for _, line := range strings.Split(b.String(), "\n") {
		assert.LessOrEqual(t, terminal.Width(line), width)
	}
	return b.String()
}

func outcomeOf(id string, outcome results.Outcome, evidence string, claims ...string) results.ExpectationOutcome {
	return results.ExpectationOutcome{Expectation: results.Expectation{ID: id, Text: id, Claims: claims}, Outcome: outcome, Evidence: evidence}
}

func TestVerdicts(t *testing.T) {
	source := results.Summary{
		Lab: "01-source-ip", Result: results.Passed,
		Claims: []results.ClaimVerdict{
			{ID: "SNAT-1", Verdict: results.Reproduced, Headlines: []string{"the pod saw the client in 0 % of calls"}},
			{ID: "DSR-1", Verdict: results.Reproduced, Headlines: []string{"the pod saw the client in 100 % of calls"}},
		},
		Expectations: []results.ExpectationOutcome{outcomeOf("kept", results.Held, "kept: source_preserved of dsr is 1", "DSR-1")},
	}
	headers := results.Summary{
		Lab: "04-l7-headers", Result: results.Failed, Reasons: []string{"expectation x failed: it is 0.9, and nothing else was right in all of it", "and more"},
		Claims: []results.ClaimVerdict{
			{ID: "DSR-1", Verdict: results.Reproduced, Headlines: []string{"without a header 100 %"}},
			{ID: "XFF-1", Verdict: results.Differs, Headlines: []string{"header right 90 %, expected at least 1", "dsr 100 %", "Local 100 %", "and another"}},
		},
	}
	failover := results.Summary{
		Lab: "13-failover", Result: results.Untested, Reasons: []string{"nothing was measured"}, Unclaimed: []string{"dsr loses 0", "snat 297"},
		Expectations: []results.ExpectationOutcome{outcomeOf("a", results.Held, "a: it did"), outcomeOf("b", results.NotRun, "was never reached")},
	}

	assert.Equal(t, `CLAIM   VERDICT     FIGURES
SNAT-1  reproduced  the pod saw the client in 0 % of calls
DSR-1   reproduced  the pod saw the client in 100 % of calls
`, verdicts(t, 80, VerdictOptions{}, source), "of one lab nothing is said that it did not say itself")

	assert.Equal(t, `1 of 3 labs passed

NOT PASSED     RESULT    WHY
04-l7-headers  failed    expectation x failed: it is 0.9, and nothing else was …
13-failover    untested  nothing was measured

CLAIM   VERDICT     FIGURES
SNAT-1  reproduced  the pod saw the client in 0 % of calls
XFF-1   differs     header right 90 %, expected at least 1; dsr 100 %; +2 more
DSR-1   reproduced  the pod saw the client in 100 % of calls
lab 13  not-run     dsr loses 0; snat 297
`, verdicts(t, 80, VerdictOptions{}, headers, source, failover), "each claim once, by the lab that it names")

	all := verdicts(t, 80, VerdictOptions{All: true}, source, headers)
	claims, err := results.LoadClaims()
	require.NoError(t, err)
	for _, claim := range claims {
		assert.Equal(t, 1, strings.Count(all, "\n"+claim.ID+" "), claim.ID)
	}
	assert.Contains(t, all, "CONF-1   not measured  only on kind: lab run 01-source-ip --substrate kind\n")
	assert.Contains(t, all, "THR-1    not measured  none of these labs checks it: 02-throughput does\n")

	assert.Contains(t, verdicts(t, 80, VerdictOptions{Verbose: true}, source, failover), `DSR-1   reproduced  the pod saw the client in 100 % of calls
                    - kept: source_preserved of dsr is 1

lab 13  not-run     dsr loses 0; snat 297
                    - a: it did
                    - b: was never reached (not-run)
`)
}

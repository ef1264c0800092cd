package report

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/dsrlab/dsrlab/results"
)

// claimView is a claim with what speaks for it, one expectation a row.
type claimView struct {
	results.ClaimVerdict
	Slide, Text string
	// Note is what a lab concluded itself, where no expectation says it.
	Note string
	Rows []evidenceRow
}

// Compared reports whether something of the claim is a comparison.
func (c claimView) Compared() bool {
	return slices.ContainsFunc(c.Rows, func(r evidenceRow) bool { return r.Compared != "–" })
}

// Slides names the slides of the claim.
func (c claimView) Slides() string {
	if strings.Contains(c.Slide, ",") {
		return "slides " + c.Slide
	}
	return "slide " + c.Slide
}

// evidenceRow is an expectation in words and figures that people use.
type evidenceRow struct {
	// Anchor is unique in a page of many labs.
	Anchor string
	// Expected is a sentence, What the quantity that was measured.
	Expected, Variant, What string
	Measured, Compared      string
	Outcome                 results.Outcome
	// Why is there where the expectation failed, did not run, or is not the slide's.
	Why string
}

// claimViews are the claims of a run, and after them what was expected and speaks for no claim.
func claimViews(run *results.Run, summary results.Summary, claims results.Claims) []claimView {
	var views []claimView
	for _, verdict := range summary.Claims {
		claim, _ := claims.Find(verdict.ID)
		v := claimView{ClaimVerdict: verdict, Slide: claim.Slide(), Text: claim.Text}
		for _, e := range summary.Expectations {
			if slices.Contains(e.Claims, verdict.ID) {
				row := evidenceOf(run, summary, e)
				if e.Claims[0] != verdict.ID {
					row.Anchor = "" // it is that of the row of the first claim
				}
				v.Rows = append(v.Rows, row)
			}
		}
		if len(v.Rows) == 0 {
			v.Note = verdict.Evidence
		}
		views = append(views, v)
	}
	rest := claimView{Text: "Expected beyond the talk's claims"}
	for _, e := range summary.Expectations {
		if len(e.Claims) == 0 {
			rest.Rows = append(rest.Rows, evidenceOf(run, summary, e))
		}
	}
	if len(rest.Rows) > 0 {
		views = append(views, rest)
	}
	return views
}

// Evidence is a sentence as labs write it: what was measured of what, and for a ratio of what it is one.
var (
	ofVariant = regexp.MustCompile(` is (\S+) of that of (\S+?)(?: \(95 % interval (\S+) to ([^ )]+)\))?(?:;|$)`)
	ofLabels  = regexp.MustCompile(` is (\S+) of [a-z][a-z0-9_]*(?: \(([^)]*)\))?(?:;|$)`)
	bound     = regexp.MustCompile(`; (expected .*)$`)
)

func evidenceOf(run *results.Run, summary results.Summary, e results.ExpectationOutcome) evidenceRow {
	row := evidenceRow{
		Anchor: anchor(run.Manifest.Lab, e.ID), Expected: e.Text, Variant: e.Variant, What: results.DescribeMetric(e.Metric).Title,
		Measured: "–", Compared: "–", Outcome: e.Outcome, Why: e.Differs,
	}
	if column := e.Labels["column"]; e.Metric == "cell" {
		row.What = column
	} else if labels := labelWords(e.Labels); labels != "" {
		row.What += ", " + labels
	}
	if m, ok := summary.Find(e.Variant, e.Metric, e.Labels); ok {
		row.Measured = Median(m)
	}
	evidence := strings.TrimPrefix(e.Evidence, e.Text+": ")
	if parts := ofVariant.FindStringSubmatch(evidence); parts != nil {
		row.Compared = parts[1] + " × " + parts[2]
		if parts[3] != "" {
			row.Compared += " (" + parts[3] + " to " + parts[4] + ")"
		}
	} else if parts := ofLabels.FindStringSubmatch(evidence); parts != nil {
		under := "with " + strings.ReplaceAll(parts[2], "=", " ")
		if parts[2] == "" {
			under = "without " + strings.Join(sortedKeys(e.Labels), " and ")
		}
		row.Compared = parts[1] + " × that " + under
	}
	if e.Outcome == results.Held {
		return row
	}
	if parts := bound.FindStringSubmatch(evidence); parts != nil {
		row.Why = parts[1]
	} else {
		row.Why = cmp.Or(evidence, row.Why)
	}
	return row
}

// noAnchor is what an anchor has a hyphen for.
var noAnchor = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// anchor is the id of an element of a page.
func anchor(parts ...string) string {
	return noAnchor.ReplaceAllString(strings.Join(parts, "-"), "-")
}

// capital begins a sentence.
func capital(text string) string {
	for i, first := range text {
		return text[:i] + strings.ToUpper(string(first)) + text[i+len(string(first)):]
	}
	return text
}

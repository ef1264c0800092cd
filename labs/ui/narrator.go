package ui

import (
	"fmt"
	"math"
	"strings"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/results/report"
	"github.com/dsrlab/dsrlab/topologies"
)

// narrator tells a lab to the page.
type narrator struct{ run *labRun }

var _ labs.Narrator = (*narrator)(nil)

// tell changes the state, and adds lines.
func (n *narrator) tell(change func(s *LabState), lines ...Line) {
	n.run.mu.Lock()
	defer n.run.mu.Unlock()
	if change != nil {
		change(&n.run.state)
	}
	for _, l := range lines {
		n.run.add(l)
	}
}

// Begin tells that the testbed is being built: a lab that starts over begins again.
func (n *narrator) Begin(_ *labs.Lab, plan *topologies.Plan) {
	n.tell(func(s *LabState) {
		s.Phase, s.Trial, s.Trials, s.Result = "", 0, 0, ""
		s.What = "builds topology " + plan.Name + " on a testbed of its own"
	})
}

// Built is labs.Narrator's.
func (n *narrator) Built(*topologies.Plan) {}

// Notice is labs.Narrator's.
func (n *narrator) Notice(message string) { n.tell(nil, Line{Kind: "notice", Text: message}) }

// Phase is labs.Narrator's.
func (n *narrator) Phase(p *labs.Phase, trials int) {
	n.tell(func(s *LabState) { s.Phase, s.Trial, s.Trials, s.What = p.Name, 0, trials, "" },
		Line{Kind: "phase", Name: p.Name, Text: p.Narration})
}

// Trial is labs.Narrator's. One that is taken again makes the phase longer.
func (n *narrator) Trial(v testbed.Variant, repetition int, labels map[string]string) {
	what := v.Name
	if text := results.FormatLabels(labels); text != "" {
		what += " " + text
	}
	if repetition > 0 {
		what += fmt.Sprintf(" (repetition %d)", repetition+1)
	}
	n.tell(func(s *LabState) {
		s.Trial, s.What, s.Rate = s.Trial+1, what, 0
		s.Trials = max(s.Trials, s.Trial)
	})
}

// Rate is labs.Narrator's.
func (n *narrator) Rate(bitsPerSecond float64) {
	n.tell(func(s *LabState) {
		s.Rate = bitsPerSecond
		if math.IsNaN(bitsPerSecond) || math.IsInf(bitsPerSecond, 0) {
			s.Rate = 0
		}
	})
}

// Evidence is labs.Narrator's.
func (n *narrator) Evidence(variant, message string) {
	n.tell(nil, Line{Kind: "evidence", Name: variant, Text: message})
}

// End tells each expectation, each claim's verdict, and the result.
func (n *narrator) End(summary results.Summary) {
	n.tell(func(s *LabState) { s.Result, s.What, s.Rate = summary.Result, "", 0 }, verdictsOf(summary)...)
}

// outcomeOf is an expectation with what was measured, and if it did not hold, why.
func outcomeOf(summary results.Summary, e results.ExpectationOutcome) string {
	text := e.Text
	if m, ok := summary.Find(e.Variant, e.Metric, e.Labels); ok {
		text += ": " + results.DescribeMetric(e.Metric).Title + " " + report.Median(m)
	}
	if e.Outcome == results.Held {
		return text
	}
	if _, bound, ok := strings.Cut(e.Evidence, "; expected "); ok {
		return text + ", expected " + bound
	}
	if why := strings.TrimPrefix(e.Evidence, e.Text+": "); why != "" {
		text += " (" + why + ")"
	}
	return text
}

func verdictsOf(summary results.Summary) (lines []Line) {
	for _, e := range summary.Expectations {
		lines = append(lines, Line{Kind: "expectation", Name: e.Variant, Outcome: string(e.Outcome), Text: outcomeOf(summary, e)})
	}
	for _, c := range summary.Claims {
		text := strings.Join(c.Headlines, "; ")
		if text == "" {
			text = c.Evidence
		}
		lines = append(lines, Line{Kind: "claim", Name: c.ID, Outcome: string(c.Verdict), Text: text})
	}
	result := Line{Kind: "result", Outcome: string(summary.Result), Text: "Run " + summary.Run + " was recorded."}
	if len(summary.Reasons) > 0 {
		result.Text = strings.Join(summary.Reasons, "; ") + ". " + result.Text
	}
	return append(lines, result)
}

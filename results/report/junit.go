package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/dsrlab/dsrlab/results"
)

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"` // seconds
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitMessage `xml:"failure"`
	Error   *junitMessage `xml:"error"`
	Skipped *junitMessage `xml:"skipped"`
	Output  string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

// JUnit writes runs as JUnit XML: a lab is a test suite; its claims and expectations are test cases, and a last case is the
// run's own result. What did not run is an error, not a pass; it is skipped only where the machine lacks something.
func JUnit(w io.Writer, runs ...*results.Run) error {
	var document junitSuites
	claims, err := results.LoadClaims()
	if err != nil {
		return err
	}
	for _, run := range runs {
		document.Suites = append(document.Suites, suite(run, claims))
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	_, err = io.WriteString(w, "\n")
	return err
}

func suite(run *results.Run, claims results.Claims) junitSuite {
	summary := results.Verdicts(run)
	m := run.Manifest
	s := junitSuite{Name: m.Lab, Timestamp: m.Started.UTC().Format(time.RFC3339), Time: "0"}
	if run.State() == results.Finished {
		s.Time = strconv.FormatFloat(m.Ended.Sub(m.Started).Seconds(), 'f', 3, 64)
	}
	s.Properties = []junitProperty{
		{"run", m.Run}, {"substrate", m.On()}, {"topology", m.Topology.Name}, {"topology.hash", m.Topology.Hash}, {"revision", m.Revision.Commit},
	}
	lacking := summary.Result == results.Unsupported
	for _, c := range summary.Claims {
		claim, _ := claims.Find(c.ID)
		s.Cases = append(s.Cases, claimCase(m.Lab, c, claim.Text, lacking, summary.Expectations))
	}
	for _, e := range summary.Expectations {
		test := junitCase{Class: m.Lab + ".expectations", Name: e.ID + ": " + e.Text, Output: e.Evidence}
		switch e.Outcome {
		case results.Broken:
			test.Failure = &junitMessage{e.Evidence}
		case results.NotRun:
			test.notRun(lacking, e.Evidence)
		}
		s.Cases = append(s.Cases, test)
	}
	whole := junitCase{Class: m.Lab, Name: "result", Output: string(summary.Result)}
	switch summary.Result {
	case results.Failed:
		whole.Failure = &junitMessage{summary.Reason()}
	case results.Untested, results.Unsupported:
		whole.notRun(lacking, summary.Reason())
	}
	s.Cases = append(s.Cases, whole)
	s.count()
	return s
}

// claimCase fails a claim that differs only where an expectation of the lab failed: a measurement that rightly differs from
// the slide is a finding, not a defect.
func claimCase(lab string, c results.ClaimVerdict, text string, lacking bool, expectations []results.ExpectationOutcome) junitCase {
	test := junitCase{Class: lab + ".claims", Name: c.ID + ": " + text, Output: string(c.Verdict) + ": " + c.Evidence}
	switch c.Verdict {
	case results.NotMeasured:
		test.notRun(lacking, c.Evidence)
	case results.Differs:
		for _, e := range expectations {
			for _, id := range e.Claims {
				if id == c.ID && e.Outcome == results.Broken {
					test.Failure = &junitMessage{c.Evidence}
				}
			}
		}
	}
	return test
}

func (c *junitCase) notRun(lacking bool, why string) {
	if lacking {
		c.Skipped = &junitMessage{why}
		return
	}
	c.Error = &junitMessage{why}
}

func (s *junitSuite) count() {
	s.Tests = len(s.Cases)
	for _, c := range s.Cases {
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Error != nil:
			s.Errors++
		case c.Skipped != nil:
			s.Skipped++
		}
	}
}

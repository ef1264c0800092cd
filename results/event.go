package results

import (
	"encoding/json"
	"time"
)

// Kind says what an event is about. Labs may use kinds of their own beside these.
type Kind string

const (
	KindStep        Kind = "step"        // a step began or ended
	KindNarration   Kind = "narration"   // what the lab told its audience
	KindEvidence    Kind = "evidence"    // something seen that speaks for itself: an address, a decoded packet
	KindDrop        Kind = "drop"        // packets dropped, with place and reason
	KindExpectation Kind = "expectation" // the outcome of an expectation; written by Recorder.Expect
	KindVerdict     Kind = "verdict"     // a verdict that the lab gave itself; written by Recorder.Verdict
)

// Event is something that happened during a run.
type Event struct {
	Time    time.Time `json:"time"`
	Kind    Kind      `json:"kind"`
	Message string    `json:"message"`
	// Data is whatever the kind has beyond a sentence.
	Data json.RawMessage `json:"data,omitempty"`
}

// expectationData is the data of an event of KindExpectation; its message is the evidence.
type expectationData struct {
	ID      string  `json:"id"`
	Outcome Outcome `json:"outcome"`
	// Headline is the evidence in a few words; runs that were recorded before there were any have none.
	Headline string `json:"headline,omitempty"`
}

// verdictData is the data of an event of KindVerdict; its message is the evidence.
type verdictData struct {
	Claim   string  `json:"claim"`
	Verdict Verdict `json:"verdict"`
}

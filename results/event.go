package results

import (
	"encoding/json"
	"time"
)

// EventKind is the subject of an event. Labs may add kinds of their own.
type EventKind string

const (
	EventStep        EventKind = "step"        // a step began or ended
	EventNarration   EventKind = "narration"   // what the lab told its audience
	EventEvidence    EventKind = "evidence"    // something seen that speaks for itself: an address, a decoded packet
	EventExpectation EventKind = "expectation" // the outcome of an expectation; written by Recorder.Expect
	EventVerdict     EventKind = "verdict"     // a verdict that the lab gave itself; written by Recorder.Verdict
)

// Event is something that happened during a run.
type Event struct {
	Time    time.Time `json:"time"`
	Kind    EventKind `json:"kind"`
	Message string    `json:"message"`
	// Data is whatever the kind has beyond a sentence.
	Data json.RawMessage `json:"data,omitempty"`
}

// expectationData is the data of an event of EventExpectation; its message is the evidence.
type expectationData struct {
	ID      string  `json:"id"`
	Outcome Outcome `json:"outcome"`
	// Headline is the evidence in a few words; runs that were recorded before there were any have none.
	Headline string `json:"headline,omitempty"`
}

// verdictData is the data of an event of EventVerdict; its message is the evidence.
type verdictData struct {
	Claim   string  `json:"claim"`
	Verdict Verdict `json:"verdict"`
}

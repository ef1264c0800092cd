package ui

import (
	"bytes"
	"encoding/json"

	"github.com/dsrlab/dsrlab/labs/observe"
)

// keptFlows is how many flows the page shows, and how many a viewer who comes later gets.
const keptFlows = 200

// feed is what the viewers of one reader get. A state replaces the one before; of flows each viewer gets those that it has not had.
// Its methods are called one at a time.
type feed struct {
	state, tables []byte // as JSON
	// states and versions count how often each has changed.
	states, versions uint64
	flows            [][]byte // the newest, at most keptFlows, the oldest first; as JSON
	added            uint64   // flows that were added
	left             uint64   // flows that were left out, as there were too many
	story            Story
	lines            [][]byte // of the story, as JSON
}

// position is what a viewer has had of a feed.
type position struct {
	states, versions, flows, left uint64
	begun                         bool
	story                         int
	lines                         uint64
}

// flowsMessage are flows as the page gets them.
type flowsMessage struct {
	// Begin: these are the first, and replace what the page has.
	Begin bool `json:"begin"`
	// Total is how many there were since the reader began, with those that were left out.
	Total uint64            `json:"total"`
	Flows []json.RawMessage `json:"flows"`
}

// set replaces the state, and the tables if they differ.
func (f *feed) set(state State, tables Tables) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	f.state = text
	f.states++
	if text, err = json.Marshal(tables); err != nil {
		return err
	}
	if !bytes.Equal(text, f.tables) {
		f.tables = text
		f.versions++
	}
	return nil
}

// add adds flows, the oldest first, and how many were left out.
func (f *feed) add(flows []observe.Flow, left uint64) error {
	for _, flow := range flows {
		text, err := json.Marshal(flow)
		if err != nil {
			return err
		}
		f.flows = append(f.flows, text)
	}
	f.added += uint64(len(flows))
	f.left += left
	if more := len(f.flows) - keptFlows; more > 0 {
		f.flows = append([][]byte(nil), f.flows[more:]...)
	}
	return nil
}

// next returns what a viewer has not had, as server-sent events, and moves its position.
func (f *feed) next(p *position) ([]byte, error) {
	var out bytes.Buffer
	if p.states != f.states {
		writeEvent(&out, "", f.state)
	}
	if p.versions != f.versions {
		writeEvent(&out, "tables", f.tables)
	}
	if p.flows != f.added || p.left != f.left || !p.begun {
		m := flowsMessage{Begin: !p.begun, Total: f.added + f.left, Flows: []json.RawMessage{}}
		for _, text := range f.flows[len(f.flows)-int(min(f.added-p.flows, uint64(len(f.flows)))):] {
			m.Flows = append(m.Flows, text)
		}
		text, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		writeEvent(&out, "flows", text)
	}
	if p.story != f.story.Number || p.lines != f.story.Added {
		if err := f.nextLines(&out, p); err != nil {
			return nil, err
		}
	}
	*p = position{
		states: f.states, versions: f.versions, flows: f.added, left: f.left, begun: true, story: f.story.Number, lines: f.story.Added,
	}
	return out.Bytes(), nil
}

// linesMessage are lines of a story as the page gets them.
type linesMessage struct {
	// Begin: these are the first that the page gets of this story.
	Begin bool              `json:"begin"`
	Lines []json.RawMessage `json:"lines"`
}

// tell replaces the story.
func (f *feed) tell(story Story) error {
	if story.Number == f.story.Number && story.Added == f.story.Added {
		return nil
	}
	f.lines = nil
	for _, l := range story.Lines {
		text, err := json.Marshal(l)
		if err != nil {
			return err
		}
		f.lines = append(f.lines, text)
	}
	f.story = story
	return nil
}

// nextLines writes the lines of the story that a viewer has not had.
func (f *feed) nextLines(out *bytes.Buffer, p *position) error {
	m := linesMessage{Begin: p.story != f.story.Number, Lines: []json.RawMessage{}}
	news := f.story.Added
	if !m.Begin {
		news -= p.lines
	}
	for _, text := range f.lines[len(f.lines)-int(min(news, uint64(len(f.lines)))):] {
		m.Lines = append(m.Lines, text)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	writeEvent(out, "lines", text)
	return nil
}

// writeEvent writes a server-sent event; one without a name is a message.
func writeEvent(out *bytes.Buffer, name string, data []byte) {
	if name != "" {
		out.WriteString("event: " + name + "\n")
	}
	out.WriteString("data: ")
	out.Write(data)
	out.WriteString("\n\n")
}

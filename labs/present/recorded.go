package present

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
)

// Recorded is a show of a recorded run. It needs neither root nor a network, and is marked as recorded on every screen.
type Recorded struct {
	run     *results.Run
	screens []Screen
}

// NewRecorded splits a run into steps.
func NewRecorded(run *results.Run) *Recorded {
	r := &Recorded{run: run}
	r.screens = []Screen{{Title: run.Manifest.Lab, Narration: "Topology " + run.Manifest.Topology.Name, State: Announced}}
	if lab, err := labs.Lookup(run.Manifest.Lab); err == nil {
		r.screens[0].Title, r.screens[0].Narration = lab.Metadata.Name+": "+lab.Metadata.Title, lab.Spec.Question
	}
	narration := ""
	for _, e := range run.Events {
		switch e.Kind {
		case results.EventNarration:
			narration = e.Message
		case results.EventStep:
			r.step(e, narration)
		case results.EventEvidence:
			r.evidence(e, narration)
		}
	}
	return r
}

// step begins a screen, or records why the last one failed.
func (r *Recorded) step(e results.Event, narration string) {
	var data labs.TrialData
	if json.Unmarshal(e.Data, &data) != nil {
		return
	}
	if data.Error != "" {
		r.screens[len(r.screens)-1].Failed = data.Error
		return
	}
	title := data.Phase + " · " + data.Variant
	if labels := results.FormatLabels(data.Labels); labels != "" {
		title += " · " + labels
	}
	r.screens = append(r.screens, Screen{Title: title, Narration: narration})
}

// evidence belongs to the step before it; in runs that were recorded without steps, to a screen of its variant.
func (r *Recorded) evidence(e results.Event, narration string) {
	var data struct {
		Variant string `json:"variant"`
	}
	_ = json.Unmarshal(e.Data, &data) // without a variant, it belongs to the last screen
	last := &r.screens[len(r.screens)-1]
	if !r.hasSteps() && (last.Title != data.Variant || last.Narration != narration) {
		r.screens = append(r.screens, Screen{Title: data.Variant, Narration: narration})
		last = &r.screens[len(r.screens)-1]
	}
	last.Evidence = append(last.Evidence, e.Message)
}

func (r *Recorded) hasSteps() bool {
	for _, e := range r.run.Events {
		if e.Kind == results.EventStep {
			return true
		}
	}
	return false
}

// Screens implements Source: evidence and failures come when the step is run.
func (r *Recorded) Screens() []Screen {
	var all []Screen
	for _, s := range r.screens {
		all = append(all, Screen{Title: s.Title, Narration: s.Narration})
	}
	return all
}

// Run implements Source.
func (r *Recorded) Run(_ context.Context, step int, tell func(string)) error {
	for _, line := range r.screens[step].Evidence {
		tell(line)
	}
	if failed := r.screens[step].Failed; failed != "" {
		return fmt.Errorf("%s", failed)
	}
	return nil
}

// End implements Source.
func (r *Recorded) End(context.Context) ([]string, error) {
	return lastWords(results.Summarize(r.run)), nil
}

// Note implements Source.
func (r *Recorded) Note() string {
	m := r.run.Manifest
	return fmt.Sprintf("RECORDED %s on Linux %s (run %s)", m.Started.UTC().Format("2 January 2006"), r.run.Environment.Before.Kernel, m.Run)
}

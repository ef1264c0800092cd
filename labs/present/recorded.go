package present

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// Recorded is a show of a recorded run. It needs neither root nor a network, and is marked as recorded on every screen.
type Recorded struct {
	run *results.Run
	lab *labs.Lab // nil where it is not in the catalogue any more
	// screens hold everything; Screens takes off what Run tells.
	screens []Screen
}

// recordedTrial is a trial as it stands in a run's record.
type recordedTrial struct {
	labs.TrialData
	narration string
	began     time.Time
	evidence  []string
	failed    string
}

// NewRecorded splits a run into steps.
func NewRecorded(run *results.Run) *Recorded {
	r := &Recorded{run: run}
	if lab, err := labs.Lookup(run.Manifest.Lab); err == nil {
		r.lab = lab
	}
	r.screens = []Screen{r.opening()}
	trials := recordedTrials(run)
	data := make([]labs.TrialData, len(trials))
	for i, t := range trials {
		data[i] = t.TrialData
	}
	for _, s := range stepsOf(data) {
		screen := Screen{Title: s.title(), Phase: s.phase, Variant: s.variant, Swept: s.swept}
		for _, i := range s.trials {
			t := trials[i]
			screen.Narration, screen.Failed = t.narration, t.failed // the last attempt counts
			for _, line := range t.evidence {
				if !slices.Contains(screen.Evidence, line) { // repetitions that saw the same
					screen.Evidence = append(screen.Evidence, line)
				}
			}
			until := time.Time{}
			if i+1 < len(trials) {
				until = trials[i+1].began
			}
			screen.Samples = append(screen.Samples, samplesOf(run, t, until)...)
		}
		r.screens = append(r.screens, screen)
	}
	return r
}

// opening shows the question, and the topology that was built.
func (r *Recorded) opening() Screen {
	m := r.run.Manifest
	s := Screen{Title: m.Lab, Narration: "Topology " + m.Topology.Name}
	if r.lab != nil {
		s.Title, s.Narration = r.lab.Metadata.Name+": "+r.lab.Metadata.Title, r.lab.Spec.Question
	}
	var plan topologies.Plan
	shown := openingOf(m.Topology.Name)
	if shown.plan == nil || json.Unmarshal([]byte(m.Topology.Document), &plan) != nil || !slices.EqualFunc(plan.Nodes, shown.plan.Nodes, alike) {
		return s // what the command prints today is not what was built
	}
	s.Command, s.Output = shown.command, shown.output
	return s
}

// alike reports whether two nodes have the same name, role and limits: what does not depend on how plans are written.
func alike(a, b topologies.Node) bool {
	return a.Name == b.Name && a.Role == b.Role && a.ToNode == b.ToNode && a.FromNode == b.FromNode
}

// recordedTrials reads the trials of a run. Of a run that was recorded without them, each variant in each phase is one.
func recordedTrials(run *results.Run) []recordedTrial {
	steps := slices.ContainsFunc(run.Events, func(e results.Event) bool { return e.Kind == results.EventStep })
	var all []recordedTrial
	narration := ""
	for _, e := range run.Events {
		var data labs.TrialData
		_ = json.Unmarshal(e.Data, &data) // without any, it belongs to the last trial
		switch {
		case e.Kind == results.EventNarration:
			narration = e.Message
		case e.Kind == results.EventStep && data.Error == "":
			all = append(all, recordedTrial{TrialData: data, narration: narration, began: e.Time})
		case e.Kind == results.EventStep && len(all) > 0:
			all[len(all)-1].failed = data.Error
		case e.Kind == results.EventEvidence:
			last := len(all) - 1
			if !steps && (last < 0 || all[last].Variant != data.Variant || all[last].narration != narration) {
				data.Phase = narration
				all, last = append(all, recordedTrial{TrialData: data, narration: narration, began: e.Time}), last+1
			}
			if last >= 0 {
				all[last].evidence = append(all[last].evidence, e.Message)
			}
		}
	}
	return all
}

// samplesOf are the samples of a trial: those of its variant and repetition that were taken until the next trial began.
func samplesOf(run *results.Run, t recordedTrial, until time.Time) []results.Sample {
	var all []results.Sample
	for _, s := range run.Samples {
		if s.Variant == t.Variant && s.Repetition == t.Repetition && !s.Time.Before(t.began) && (until.IsZero() || s.Time.Before(until)) {
			all = append(all, s)
		}
	}
	return all
}

// Lab implements Source.
func (r *Recorded) Lab() *labs.Lab { return r.lab }

// Screens implements Source: evidence, figures and failures come when the step is run.
func (r *Recorded) Screens() []Screen {
	all := slices.Clone(r.screens)
	for i := range all {
		all[i].Evidence, all[i].Samples, all[i].Failed = nil, nil, ""
	}
	return all
}

// Run implements Source.
func (r *Recorded) Run(_ context.Context, step int, to Reporter) error {
	s := &r.screens[step]
	to.Measured(s.Samples)
	for _, line := range s.Evidence {
		to.Tell(line)
	}
	if s.Failed != "" {
		return errors.New(s.Failed)
	}
	return nil
}

// End implements Source.
func (r *Recorded) End(context.Context) (results.Summary, error) {
	return results.Summarize(r.run), nil
}

// Note implements Source.
func (r *Recorded) Note() string {
	m := r.run.Manifest
	return fmt.Sprintf("RECORDED %s on Linux %s (run %s)", m.Started.UTC().Format("2 January 2006"), r.run.Environment.Before.Kernel, m.Run)
}

// Immediate implements Source.
func (r *Recorded) Immediate() bool { return true }

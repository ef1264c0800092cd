package present

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
)

// step is what one screen shows: all trials of a variant in a phase. Numbers are those of the trials.
type step struct {
	phase, variant string
	trials         []int
	// swept are the labels whose values the trials go through.
	swept []string
}

// stepsOf puts the trials of each variant in each phase together, in the order of their first trial.
func stepsOf(trials []labs.TrialData) []step {
	var all []step
	for i, t := range trials {
		at := -1
		for j := range all {
			if all[j].phase == t.Phase && all[j].variant == t.Variant {
				at = j
			}
		}
		if at < 0 {
			at, all = len(all), append(all, step{phase: t.Phase, variant: t.Variant, swept: slices.Sorted(maps.Keys(t.Labels))})
		}
		all[at].trials = append(all[at].trials, i)
	}
	return all
}

func (s step) title() string { return s.phase + " · " + s.variant }

// which tells one trial of a step from the others.
func which(t labs.TrialData, i, of int) string {
	if of == 1 {
		return ""
	}
	text := fmt.Sprintf("%d of %d", i+1, of)
	if labels := results.FormatLabels(t.Labels); labels != "" {
		text += ", " + labels
	}
	return text
}

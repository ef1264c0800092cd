package labs

import (
	"fmt"
	"time"

	"github.com/dsrlab/dsrlab/results"
)

const (
	// maxAttempts is how often a trial that the machine disturbed is tried at most.
	maxAttempts = 3
	// retryBase and retryShare bound the time that all retries of a run take: so long, and so much of what first attempts have taken.
	retryBase  = 20 * time.Second
	retryShare = 0.5
)

// decision is what follows an attempt at a trial.
type decision int

const (
	goOn      decision = iota // with the next trial
	retry                     // the same trial
	startOver                 // the whole run, at a smaller scale
)

// retries decides which trials of a run are repeated because the machine disturbed them, and when too many were disturbed for the run to
// go on. It is pure: what happened is handed in.
type retries struct {
	// planned is how many trials a group has: those of one variant under one setting of a phase. lost counts those of a group that were
	// still disturbed at their last attempt.
	planned, lost map[string]int
	attempts      int           // at the trial that runs
	first, again  time.Duration // taken by first attempts, and by all others
}

func newRetries(trials []Trial) *retries {
	r := &retries{planned: make(map[string]int), lost: make(map[string]int)}
	for i := range trials {
		r.planned[trials[i].group()]++
	}
	return r
}

// group names what the trial is a repetition of.
func (t *Trial) group() string {
	return fmt.Sprint(t.Phase.Name, " ", t.Variant.Name, " ", results.FormatLabels(t.Labels))
}

// after decides what follows an attempt at a trial of a group, which took so long. A group of which half or more is lost can't give a
// median that counts: then the run starts over.
func (r *retries) after(group string, disturbed bool, took time.Duration) decision {
	r.attempts++
	if r.attempts == 1 {
		r.first += took
	} else {
		r.again += took
	}
	if !disturbed {
		r.attempts = 0
		return goOn
	}
	if r.attempts < maxAttempts && r.again < retryBase+time.Duration(retryShare*float64(r.first)) {
		return retry
	}
	r.attempts = 0
	if r.lost[group]++; 2*r.lost[group] >= r.planned[group] {
		return startOver
	}
	return goOn
}

package labs

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/dsrlab/dsrlab/results"
)

// ErrNoRun reports that an answer can't be checked before the participant has run the lab.
var ErrNoRun = errors.New("missing run of your own: run the lab first")

// Check reports whether an answer is right, and why or why not. run is the participant's newest run of the lab, or nil.
// An error means that the answer can't be checked: a run is missing, or the answer is malformed.
func (e *Exercise) Check(answer string, run *results.Run) (right bool, why string, err error) {
	answer = strings.TrimSpace(answer)
	switch {
	case e.Answer.Text != "":
		return e.checkText(answer)
	case run == nil:
		return false, "", ErrNoRun
	case e.Answer.Run != nil:
		return e.Answer.Run.check(run)
	}
	return e.Answer.Measured.check(answer, run)
}

func (e *Exercise) checkText(answer string) (bool, string, error) {
	if answer == "" {
		return false, "", errors.New("missing answer (want a text)")
	}
	pattern, err := regexp.Compile("(?i)^(?:" + e.Answer.Text + ")$")
	if err != nil {
		return false, "", fmt.Errorf("exercise %s: %w", e.ID, err)
	}
	if pattern.MatchString(answer) {
		return true, "right", nil
	}
	return false, fmt.Sprintf("%q is not it", answer), nil
}

func (m *MeasuredAnswer) check(answer string, run *results.Run) (bool, string, error) {
	given, err := strconv.ParseFloat(strings.TrimSuffix(answer, "%"), 64)
	if err != nil {
		return false, "", fmt.Errorf("answer: found %q (want a number)", answer)
	}
	if len(run.Manifest.Faults) > 0 {
		return false, "", fmt.Errorf("run %s was broken on purpose: run the lab without --fault", run.Manifest.Run)
	}
	found, ok := results.Summarize(run).Find(m.Variant, m.Metric, m.Labels)
	if !ok || found.Median == nil {
		return false, "", fmt.Errorf("run %s has no %s of %s: run the lab again", run.Manifest.Run, m.Metric, m.Variant)
	}
	want := *found.Median
	if m.Scale > 0 {
		want /= m.Scale
	}
	// As many digits as were given are compared: 0.66 is right for 0.6617.
	_, fraction, _ := strings.Cut(strings.TrimSuffix(answer, "%"), ".")
	rounding := 0.5 * math.Pow(10, -float64(len(fraction)))
	if math.Abs(given-want) <= math.Max(m.Tolerance*math.Abs(want), rounding) {
		return true, fmt.Sprintf("right: your run %s measured %.4g", run.Manifest.Run, want), nil
	}
	return false, fmt.Sprintf("your run %s measured something else than %s", run.Manifest.Run, answer), nil
}

func (r *RunAnswer) check(run *results.Run) (bool, string, error) {
	id, faults := run.Manifest.Run, run.Manifest.Faults
	switch {
	case r.Fault == "" && len(faults) > 0:
		return false, fmt.Sprintf("run %s was broken on purpose: run the lab without --fault", id), nil
	case r.Fault != "" && len(faults) == 0:
		return false, fmt.Sprintf("nothing was broken in run %s", id), nil
	}
	for variant, fault := range faults {
		if fault != r.Fault {
			return false, fmt.Sprintf("run %s was made with fault %s in variant %s, which is another one", id, fault, variant), nil
		}
	}
	for _, claim := range results.Summarize(run).Claims {
		if claim.ID != r.Claim {
			continue
		}
		if claim.Verdict == r.Verdict {
			return true, fmt.Sprintf("right: in run %s the verdict on %s is %s", id, r.Claim, claim.Verdict), nil
		}
		return false, fmt.Sprintf("in run %s the verdict on %s is %s, want %s", id, r.Claim, claim.Verdict, r.Verdict), nil
	}
	return false, fmt.Sprintf("run %s says nothing of %s", id, r.Claim), nil
}

package labs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/expect"
	"github.com/dsrlab/dsrlab/labs/steps"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/trial"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies"
)

// fakeSubstrate is a Substrate that makes nothing.
type fakeSubstrate struct {
	openErr, closeErr error
	run               func(ctx context.Context, t *Trial, r *Report) error
	opened, closed    int
	trials            []string // that were run, in order
}

func (f *fakeSubstrate) Open(_ context.Context, r *Report) error {
	if f.openErr != nil {
		return f.openErr
	}
	f.opened++
	r.session.scale = max(r.session.atMost, 1)
	r.Built(r.session.planned)
	return nil
}

func (f *fakeSubstrate) Run(ctx context.Context, t *Trial, r *Report) error {
	f.trials = append(f.trials, fmt.Sprint(t.Variant.Name, t.Repetition))
	if f.run == nil {
		return measureOnce(t, r)
	}
	return f.run(ctx, t, r)
}

func (f *fakeSubstrate) Close(ctx context.Context) error {
	f.closed++
	return errors.Join(ctx.Err(), f.closeErr)
}

// measure records the value that the fake lab expects.
func measureOnce(t *Trial, r *Report) error {
	return r.Record(&t.Phase.Steps[0], []trial.Value{{Metric: "payload_rate", Unit: "bit/s", Value: 1}})
}

// quiet is a narrator that keeps notices.
type quiet struct {
	Narrator
	notices []string
}

func (*quiet) Begin(*Lab, *topologies.Plan)                  {}
func (*quiet) Built(*topologies.Plan)                        {}
func (q *quiet) Notice(message string)                       { q.notices = append(q.notices, message) }
func (*quiet) Phase(*Phase, int)                             {}
func (*quiet) Trial(testbed.Variant, int, map[string]string) {}
func (*quiet) Rate(float64)                                  {}
func (*quiet) Evidence(string, string)                       {}
func (*quiet) End(results.Summary)                           {}

// fakeLab has two trials of each of two variants.
func fakeLab() *Lab {
	least := 1.0
	return &Lab{
		Metadata: Metadata{Name: "99-fake"},
		Spec: Spec{
			Topology: "source-ip", Variants: []testbed.Variant{{Name: "a"}, {Name: "b"}},
			Phases:       []Phase{{Name: "measure", Narration: "It measures.", Repetitions: 2, Steps: []steps.Step{{Transfer: &steps.TransferStep{}}}}},
			Expectations: []expect.Expectation{{ID: "goodput-a", Text: "a moves something", Variant: "a", Metric: "payload_rate", AtLeast: &least}},
		},
	}
}

// runOnFake runs the fake lab, and returns the last run's record.
func runOnFake(t *testing.T, ctx context.Context, r *Runner, f *fakeSubstrate) (results.Summary, *results.Run, *quiet) {
	t.Helper()
	q := &quiet{}
	r.Substrate, r.Existing, r.RunsDir, r.Narrator = topologies.SubstrateCluster, f, t.TempDir(), q
	summary, err := r.Run(ctx, fakeLab())
	require.NoError(t, ignoreReported(err, summary))
	run, err := results.Open(filepath.Join(r.RunsDir, summary.Run))
	require.NoError(t, err)
	return summary, run, q
}

// ignoreReported drops an error that the summary tells of, too.
func ignoreReported(err error, s results.Summary) error {
	if s.Run != "" {
		return nil
	}
	return err
}

// TestDisturbedTrialIsRepeated: at once, before the next trial, and the run goes on as if nothing had happened.
func TestDisturbedTrialIsRepeated(t *testing.T) {
	disturbances := 2
	f := &fakeSubstrate{}
	f.run = func(_ context.Context, trial *Trial, r *Report) error {
		if trial.Variant.Name == "b" && disturbances > 0 {
			disturbances--
			r.Disturbed("the machine stood still")
		}
		return measureOnce(trial, r)
	}
	summary, _, q := runOnFake(t, t.Context(), &Runner{}, f)
	assert.Equal(t, []string{"a0", "b0", "b0", "b0", "a1", "b1"}, f.trials)
	assert.Equal(t, results.Passed, summary.Result, summary.Reason())
	assert.Empty(t, q.notices)
	assert.Equal(t, 1, f.closed)
}

// TestInterrupted: a run that is interrupted is closed as such, says by what and how far it came, and nothing else that went wrong
// with it.
func TestInterrupted(t *testing.T) {
	for name, test := range map[string]struct {
		during string // the trial that is interrupted
		cause  error  // by which
		reason string
	}{
		"a signal":      {"a1", signalled{}, "interrupted by a signal after 2 of 4 trials"},
		"a key":         {"a1", ErrInterrupted, "interrupted after 2 of 4 trials"},
		"without cause": {"b1", nil, "interrupted after 3 of 4 trials"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			f := &fakeSubstrate{}
			f.run = func(_ context.Context, trial *Trial, r *Report) error {
				if fmt.Sprint(trial.Variant.Name, trial.Repetition) == test.during {
					cancel(test.cause)
					return errors.Join(measureOnce(trial, r), errors.New("a program was killed"))
				}
				return measureOnce(trial, r)
			}
			summary, run, _ := runOnFake(t, ctx, &Runner{}, f)
			assert.Equal(t, results.Untested, summary.Result)
			assert.Equal(t, results.Interrupted, run.State())
			assert.Equal(t, test.reason, run.Manifest.Reason)
			assert.Equal(t, 1, f.closed, "the topology is taken down")
			last := run.Samples[len(run.Samples)-1]
			why, _, _ := strings.Cut(test.reason, " after")
			assert.Equal(t, "the trial was stopped: "+why, last.Invalid, "what it still sampled does not count")
		})
	}
}

type signalled struct{}

func (signalled) Error() string        { return "interrupted by a signal" }
func (signalled) Is(target error) bool { return target == context.Canceled }

// A run that ends with an error before its last trial is no finished one either.
func TestBrokenOff(t *testing.T) {
	f := &fakeSubstrate{}
	f.run = func(_ context.Context, trial *Trial, r *Report) error {
		if trial.Variant.Name == "b" {
			return errors.New("the client is gone")
		}
		return measureOnce(trial, r)
	}
	summary, run, _ := runOnFake(t, t.Context(), &Runner{}, f)
	assert.Equal(t, results.Failed, summary.Result)
	assert.Equal(t, results.Interrupted, run.State())
	assert.Contains(t, run.Manifest.Reason, "the client is gone")
}

// TestStartsOver: a run of which too many trials were disturbed is closed as untested, and followed by one at the next smaller scale.
func TestStartsOver(t *testing.T) {
	f := &fakeSubstrate{}
	f.run = func(_ context.Context, trial *Trial, r *Report) error {
		if r.session.atMost < 5 && trial.Variant.Name == "a" {
			r.Disturbed("the machine stood still")
		}
		return measureOnce(trial, r)
	}
	r := &Runner{}
	summary, _, q := runOnFake(t, t.Context(), r, f)
	assert.Equal(t, results.Passed, summary.Result, summary.Reason())
	assert.Equal(t, []string{"a0", "a0", "a0", "a0", "a0", "a0", "a0", "b0", "a1", "b1"}, f.trials, "three attempts at 1, three at 1/2, then all at 1/5")
	assert.Equal(t, []string{
		"too many trials were disturbed, the last one because the machine stood still: the lab starts over with all rates divided by 2",
		"too many trials were disturbed, the last one because the machine stood still: the lab starts over with all rates divided by 5",
	}, q.notices)
	assert.Equal(t, 3, f.opened)
	assert.Equal(t, 3, f.closed)
	runs, err := os.ReadDir(r.RunsDir)
	require.NoError(t, err)
	untested := 0
	for _, folder := range runs {
		run, err := results.Open(filepath.Join(r.RunsDir, folder.Name()))
		require.NoError(t, err)
		if results.Summarize(run).Result == results.Untested {
			untested++
		}
	}
	assert.Len(t, runs, 3)
	assert.Equal(t, 2, untested, "runs that were given up are recorded, too")
}

// TestDoesNotStartOver: where the scale was asked for there is no other, so the run goes on to its end.
func TestDoesNotStartOver(t *testing.T) {
	f := &fakeSubstrate{}
	f.run = func(_ context.Context, trial *Trial, r *Report) error {
		r.Disturbed("the machine stood still")
		return measureOnce(trial, r)
	}
	_, _, q := runOnFake(t, t.Context(), &Runner{Scale: 2}, f)
	assert.Equal(t, []string{"a0", "a0", "a0", "b0", "b0", "b0", "a1", "a1", "a1", "b1", "b1", "b1"}, f.trials)
	assert.Empty(t, q.notices)
	assert.Equal(t, 1, f.opened)
}

// TestInvalidValue: what could not be measured is recorded with the reason, and an expectation without any value that counts is not met.
func TestInvalidValue(t *testing.T) {
	f := &fakeSubstrate{}
	f.run = func(_ context.Context, planned *Trial, r *Report) error {
		return r.Miss(&planned.Phase.Steps[0], trial.Value{Metric: "payload_rate", Unit: "bit/s"}, errors.New("nobody answered"))
	}
	summary, run, _ := runOnFake(t, t.Context(), &Runner{}, f)
	require.Len(t, run.Samples, 4)
	assert.Equal(t, "nobody answered", run.Samples[0].Invalid)
	assert.Equal(t, results.Untested, summary.Result)
}

// TestEndOfRun: what the summary says of a run, and that the substrate is closed exactly if it was opened.
func TestEndOfRun(t *testing.T) {
	broken := errors.New("broken")
	lacking := &UnsupportedError{What: "the cluster has one node", How: "add one"}
	fails := func(err error) func(context.Context, *Trial, *Report) error {
		return func(context.Context, *Trial, *Report) error { return err }
	}
	for _, test := range []struct {
		name   string
		fake   fakeSubstrate
		result results.Result
		reason string
		trials int
		closed int
	}{
		{"as expected", fakeSubstrate{}, results.Passed, "", 4, 1},
		{"not opened", fakeSubstrate{openErr: broken}, results.Failed, "broken", 0, 0},
		{"unsupported", fakeSubstrate{openErr: lacking}, results.Unsupported, "the cluster has one node: add one", 0, 0},
		{"a trial fails", fakeSubstrate{run: fails(broken)}, results.Failed, "phase measure: variant a: broken", 1, 1},
		{"a trial is unsupported", fakeSubstrate{run: fails(lacking)}, results.Unsupported, "the cluster has one node: add one", 1, 1},
		{"not closed", fakeSubstrate{closeErr: broken}, results.Failed, "broken", 4, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := test.fake
			summary, _, _ := runOnFake(t, t.Context(), &Runner{}, &f)
			assert.Equal(t, test.result, summary.Result)
			assert.Contains(t, summary.Reason(), test.reason)
			assert.Len(t, f.trials, test.trials)
			assert.Equal(t, test.closed, f.closed)
		})
	}
}

// TestSessionStepByStep: a trial that failed may be run again, and a session that ends early is untested.
func TestSessionStepByStep(t *testing.T) {
	for _, test := range []struct {
		name   string
		run    []int
		result results.Result
		reason string
	}{
		{"all", []int{0, 0, 1, 2, 3}, results.Passed, ""},
		{"in another order", []int{3, 2, 1, 0, 0}, results.Passed, ""},
		{"not all", []int{0, 0, 1}, results.Untested, "it was ended after 2 of 4 trials"},
		{"with one that failed", []int{0, 1, 2, 3}, results.Failed, "broken"},
		{"none", nil, results.Untested, "it was ended after 0 of 4 trials"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, failed := &fakeSubstrate{}, false
			f.run = func(_ context.Context, trial *Trial, r *Report) error {
				if trial.Variant.Name == "a" && trial.Repetition == 0 && !failed {
					failed = true
					return errors.New("broken")
				}
				return measureOnce(trial, r)
			}
			r := &Runner{Substrate: topologies.SubstrateCluster, Existing: f, RunsDir: t.TempDir(), Narrator: &quiet{}}
			s, err := r.Begin(fakeLab())
			require.NoError(t, err)
			_, err = s.Attempt(t.Context(), 0)
			require.EqualError(t, err, "the topology is not built")
			require.NoError(t, s.Build(t.Context()))
			require.NoError(t, s.Build(t.Context()), "again, which does nothing")
			for _, i := range test.run {
				_, err := s.Attempt(t.Context(), i)
				assert.Equal(t, err != nil, i == 0 && len(f.trials) > 0 && s.errs[0] != nil)
			}
			summary, _ := s.End(t.Context())
			assert.Equal(t, test.result, summary.Result, summary.Reason())
			assert.Contains(t, summary.Reason(), test.reason)
			assert.Equal(t, 1, f.opened)
			assert.Equal(t, 1, f.closed)
		})
	}
}

// TestNoExistingCluster: a runner without a cluster says so.
func TestNoExistingCluster(t *testing.T) {
	_, err := (&Runner{Substrate: topologies.SubstrateCluster, RunsDir: t.TempDir(), Narrator: &quiet{}}).Begin(fakeLab())
	assert.EqualError(t, err, "run 99-fake: no existing cluster to run it on")
}

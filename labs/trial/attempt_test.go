package trial

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
)

// heard is a Narrator that keeps what it is told of evidence.
type heard struct {
	Narrator
	evidence []string
}

func (h *heard) Evidence(variant, message string) {
	h.evidence = append(h.evidence, variant+": "+message)
}

// newAttempt returns an attempt that records into a folder of the test, and what opens the record.
func newAttempt(t *testing.T) (*Attempt, *heard, func() *results.Run) {
	t.Helper()
	recorder, err := results.Create(results.Config{Dir: t.TempDir(), Manifest: results.Manifest{Lab: "99-test", Variants: []string{"dsr"}, Repetitions: 3}})
	require.NoError(t, err)
	narrator := &heard{}
	attempt := &Attempt{
		Run: &Run{Recorder: recorder, Narrator: narrator}, Variant: testbed.Variant{Name: "dsr"}, Repetition: 2,
		Labels: map[string]string{"queue": "64kb"},
	}
	return attempt, narrator, func() *results.Run {
		_, err := recorder.Close(results.Passed, "")
		require.NoError(t, err)
		run, err := results.Open(recorder.Dir())
		require.NoError(t, err)
		return run
	}
}

// TestLabels: a sample has the labels of sweep and step, and its own; a step in a step has its own in place of the outer one's.
func TestLabels(t *testing.T) {
	attempt, _, record := newAttempt(t)
	require.NoError(t, attempt.WithLabels(map[string]string{"calls": "small"}, func() error {
		assert.Equal(t, " (calls=small)", DescribeLabels(attempt.StepLabels()))
		return errors.Join(
			attempt.Sample("connected", "ratio", 1, map[string]string{"protocol": "tcp"}),
			attempt.WithLabels(map[string]string{"without": "lb-2"}, func() error { return attempt.Sample("connected", "ratio", 0, nil) }),
			attempt.Series(results.NewDistribution("answer", "s", []float64{1, 2}), nil),
			attempt.Series(results.NewDistribution("empty", "s", nil), nil),
		)
	}))
	require.NoError(t, attempt.Record([]Value{{Metric: "pods", Unit: "pods", Value: 4}}))
	run := record()
	require.Len(t, run.Samples, 3)
	require.Len(t, attempt.Sampled(), 3)
	assert.Equal(t, results.Sample{
		Variant: "dsr", Repetition: 2, Metric: "connected", Unit: "ratio", Value: 1,
		Labels: map[string]string{"queue": "64kb", "calls": "small", "protocol": "tcp"},
	}, attempt.Sampled()[0])
	assert.Equal(t, attempt.Sampled()[0].Labels, run.Samples[0].Labels)
	assert.Equal(t, map[string]string{"queue": "64kb", "without": "lb-2"}, run.Samples[1].Labels)
	assert.Equal(t, map[string]string{"queue": "64kb"}, run.Samples[2].Labels)
	require.Len(t, run.Series, 1, "what has no values is not recorded")
	assert.Equal(t, map[string]string{"queue": "64kb", "calls": "small"}, run.Series[0].Labels)
	assert.Empty(t, DescribeLabels(nil))
}

// TestInvalid: what does not count says why, by the first reason there is.
func TestInvalid(t *testing.T) {
	attempt, narrator, record := newAttempt(t)
	var stopped error
	attempt.Stopped = func() error { return stopped }
	sample := func() error { return attempt.Sample("payload_rate", "bit/s", 1, nil) }
	require.NoError(t, sample())
	require.NoError(t, attempt.Invalidate("the machine stood still", func() error {
		return errors.Join(attempt.Sample("payload_rate", "bit/s", math.NaN(), nil), attempt.Evidence("slow"+attempt.InvalidNote()))
	}))
	require.NoError(t, attempt.Invalidate("", sample))
	require.NoError(t, attempt.Sample("payload_rate", "bit/s", math.NaN(), nil))
	stopped = errors.New("interrupted")
	require.NoError(t, sample())
	var why []string
	for _, s := range record().Samples {
		why = append(why, s.Invalid)
	}
	assert.Equal(t, []string{"", "the machine stood still", "", "nothing was measured", "the trial was stopped: interrupted"}, why)
	assert.Equal(t, []string{"dsr: slow; this does not count: the machine stood still"}, narrator.evidence)
	assert.Empty(t, attempt.InvalidNote())
}

// TestDisturbed: a trial is repeated for the first reason, whatever follows.
func TestDisturbed(t *testing.T) {
	attempt := &Attempt{}
	attempt.Disturb("")
	assert.Empty(t, attempt.Disturbed())
	attempt.Disturb("a link was slow")
	attempt.Disturb("")
	attempt.Disturb("another")
	assert.Equal(t, "a link was slow", attempt.Disturbed())
}

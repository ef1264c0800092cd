package present

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
)

func TestShow(t *testing.T) {
	s := newShow([]Screen{{Title: "a"}, {Title: "b"}, {Title: "c"}}, false)
	assert.Equal(t, RunStep, s.Next(), "what is announced is run first")
	assert.Equal(t, Nothing, s.Next(), "a step that runs is waited for")
	s.Back()
	assert.Equal(t, "a", s.Screen().Title)
	s.screens[0].Evidence = []string{"seen"}
	assert.Equal(t, Nothing, s.done(0, errors.New("it broke")))
	assert.Equal(t, Screen{Title: "a", Evidence: []string{"seen"}, Failed: "it broke", State: Shown}, *s.Screen())

	assert.Equal(t, Nothing, s.Next(), "the show goes on after a failure, to the next screen")
	assert.Equal(t, "b", s.Screen().Title)
	assert.Equal(t, RunStep, s.Next())
	s.done(1, nil)
	s.Back()
	assert.Equal(t, []string{"seen"}, s.Screen().Evidence, "back is as it was")
	assert.Equal(t, RunStep, s.Again())
	assert.Empty(t, s.Screen().Evidence)
	assert.Empty(t, s.Screen().Failed)
	s.done(0, nil)

	assert.Equal(t, Nothing, s.Next())
	assert.Equal(t, Nothing, s.Next())
	assert.Equal(t, "c", s.Screen().Title)
	assert.Equal(t, EndShow, s.Skip(), "after the last screen comes the result")
	assert.Equal(t, Nothing, s.Next(), "once")
	s.end(results.Summary{})
	assert.Equal(t, Nothing, s.Next())
	assert.Equal(t, Nothing, s.Again(), "nothing is running any more")
}

func TestShowSkips(t *testing.T) {
	s := newShow([]Screen{{Title: "a"}, {Title: "b"}, {Title: "c"}}, false)
	assert.Equal(t, Nothing, s.Skip(), "without running it")
	assert.Equal(t, "b", s.Screen().Title)
	assert.Equal(t, RunStep, s.Next())
	assert.Equal(t, StopStep, s.Skip(), "what runs is stopped first")
	assert.Equal(t, "b", s.Screen().Title)
	assert.Equal(t, Nothing, s.done(1, errors.New("stopped")))
	assert.Equal(t, "c", s.Screen().Title)
	s.Back()
	assert.Equal(t, "stopped", s.Screen().Failed)
}

func TestImmediateShow(t *testing.T) {
	s := newShow([]Screen{{Title: "a"}, {Title: "b"}}, true)
	assert.Equal(t, RunStep, s.Again(), "as it begins")
	s.done(0, nil)
	assert.Equal(t, RunStep, s.Next(), "one key per step")
	assert.Equal(t, "b", s.Screen().Title)
	s.done(1, nil)
	s.Back()
	assert.Equal(t, Nothing, s.Next(), "what was shown is not run again")
	assert.Equal(t, EndShow, s.Next())
}

func TestStepsOf(t *testing.T) {
	var trials []labs.TrialData
	for _, phase := range []string{"download", "queues"} {
		for repetition := range 2 {
			for _, variant := range []string{"snat", "dsr"} {
				data := labs.TrialData{Phase: phase, Variant: variant, Repetition: repetition}
				if phase == "queues" {
					data.Labels = map[string]string{"queue": "16kb", "burst": "none"}
				}
				trials = append(trials, data)
			}
		}
	}
	assert.Equal(t, []step{
		{phase: "download", variant: "snat", trials: []int{0, 2}},
		{phase: "download", variant: "dsr", trials: []int{1, 3}},
		{phase: "queues", variant: "snat", trials: []int{4, 6}, swept: []string{"burst", "queue"}},
		{phase: "queues", variant: "dsr", trials: []int{5, 7}, swept: []string{"burst", "queue"}},
	}, stepsOf(trials))
}

package ui

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/results"
)

func lookup(t *testing.T, name string) *labs.Lab {
	t.Helper()
	lab, err := labs.Lookup(name)
	require.NoError(t, err)
	return lab
}

// TestLabRun checks that one lab runs at a time, has the machine until its end, and is interrupted by stop and close.
func TestLabRun(t *testing.T) {
	var r labRun
	released := make(chan struct{}, 9)
	release := func() { released <- struct{}{} }
	causes := make(chan error, 2)
	wait := func(ctx context.Context, n labs.Narrator) (results.Summary, error) {
		n.Notice("begun")
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return results.Summary{}, nil
	}
	require.NoError(t, r.start(lookup(t, "06"), release, wait))
	err := r.start(lookup(t, "01"), release, wait)
	assert.ErrorIs(t, err, ErrBusy)
	assert.EqualError(t, err, "another change is being made: lab 06-dsr-packet-walk runs")
	assert.Len(t, released, 1, "of the one that was not started")
	state, _ := r.now()
	assert.True(t, state.Running)
	assert.Equal(t, "06-dsr-packet-walk", state.Name)

	r.stop()
	assert.ErrorIs(t, <-causes, labs.ErrInterrupted)
	<-r.done
	state, story := r.now()
	assert.False(t, state.Running)
	assert.Len(t, released, 2)
	assert.Equal(t, []Line{{Kind: "notice", Text: "begun"}}, story.Lines)

	require.NoError(t, r.start(lookup(t, "01"), release, func(context.Context, labs.Narrator) (results.Summary, error) {
		return results.Summary{}, errors.New("no space left")
	}))
	<-r.done
	state, story = r.now()
	assert.Equal(t, results.Failed, state.Result)
	assert.Equal(t, []Line{{Kind: "result", Outcome: "not run", Text: "no space left"}}, story.Lines, "and none of the lab before")
	assert.Equal(t, 2, story.Number)

	require.NoError(t, r.start(lookup(t, "06"), release, wait))
	r.close()
	assert.ErrorIs(t, <-causes, labs.ErrInterrupted)
	assert.ErrorIs(t, r.start(lookup(t, "06"), release, wait), ErrBusy, "the server has ended")
	assert.Len(t, released, 5)
}

func TestStoryIsBounded(t *testing.T) {
	var r labRun
	for i := range keptLines + 10 {
		r.add(Line{Text: fmt.Sprint(i)})
	}
	_, story := r.now()
	assert.Len(t, story.Lines, keptLines)
	assert.Equal(t, "10", story.Lines[0].Text)
	assert.EqualValues(t, keptLines+10, story.Added)
}

func TestLabChoices(t *testing.T) {
	of := func(shown string, refused error) (can, cannot []string) {
		all, err := labChoices(shown, refused)
		require.NoError(t, err)
		for _, c := range all {
			assert.NotEmpty(t, c.Title)
			if c.Why == "" {
				can = append(can, c.Name)
			} else {
				cannot = append(cannot, c.Name+": "+c.Why)
			}
		}
		return can, cannot
	}
	all, err := labs.Catalogue()
	require.NoError(t, err)
	can, cannot := of("talk", nil)
	assert.Equal(t, all, can)
	assert.Empty(t, cannot)

	can, cannot = of("lab-source-ip", nil)
	assert.NotEmpty(t, can)
	assert.Contains(t, cannot, "06-dsr-packet-walk: it builds testbed lab-source-ip anew, which this page shows")

	can, cannot = of("talk", errors.New("--runs: runs is a file (want a folder)"))
	assert.Empty(t, can)
	assert.Contains(t, cannot, "06-dsr-packet-walk: --runs: runs is a file (want a folder)")
}

// TestLines checks that a viewer gets each line once, and all again when another lab begins.
func TestLines(t *testing.T) {
	var f feed
	var p position
	next := func(number int, added uint64, lines ...string) string {
		t.Helper()
		story := Story{Number: number, Added: added}
		for _, l := range lines {
			story.Lines = append(story.Lines, Line{Kind: "notice", Text: l})
		}
		require.NoError(t, f.tell(story))
		text, err := f.next(&p)
		require.NoError(t, err)
		return string(text)
	}
	next(0, 0)
	assert.Empty(t, next(0, 0), "no lab was started")
	const head = "event: lines\ndata: "
	assert.Equal(t, head+`{"begin":true,"lines":[]}`+"\n\n", next(1, 0), "which replaces those of the lab before")
	assert.Equal(t, head+`{"begin":false,"lines":[{"kind":"notice","text":"a"},{"kind":"notice","text":"b"}]}`+"\n\n", next(1, 2, "a", "b"))
	assert.Empty(t, next(1, 2, "a", "b"))
	assert.Equal(t, head+`{"begin":false,"lines":[{"kind":"notice","text":"c"}]}`+"\n\n", next(1, 3, "a", "b", "c"))
	assert.Equal(t, head+`{"begin":true,"lines":[{"kind":"notice","text":"x"}]}`+"\n\n", next(2, 1, "x"))
}

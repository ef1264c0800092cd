package present

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestShow(t *testing.T) {
	s := newShow([]Screen{{Title: "a"}, {Title: "b"}})
	assert.Equal(t, RunStep, s.Next(), "what is announced is run first")
	assert.Equal(t, Nothing, s.Next(), "a step that runs is waited for")
	s.Back()
	assert.Equal(t, "a", s.Screen().Title)
	s.tell(0, "seen")
	s.done(0, errors.New("it broke"))
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
	assert.Equal(t, EndShow, s.Next(), "after the last screen come the last words")
	assert.Equal(t, Nothing, s.Next(), "once")
	s.end([]string{"that's all"})
	assert.Equal(t, Nothing, s.Next())
	assert.Equal(t, Nothing, s.Again(), "nothing is running any more")
}

package l2

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/dataplane/announce"
)

// seconds are what a turn does in each: "p" probes, "t" tells, "-" nothing.
func seconds(t *turn, n int) string {
	text := ""
	for range n {
		probe, tell := t.tick()
		switch {
		case probe && tell:
			text += "b"
		case probe:
			text += "p"
		case tell:
			text += "t"
		default:
			text += "-"
		}
	}
	return text
}

// TestTurn: who speaks says so thrice; who stands in speaks after three seconds without an answer, and no longer than it must.
func TestTurn(t *testing.T) {
	t.Run("speaks", func(t *testing.T) {
		s := newTurn(announce.Speaks)
		assert.True(t, s.answers(true))
		assert.Equal(t, "ttt--", seconds(s, 5))
		s.heard()
		s.heard()
		assert.Equal(t, "t----", seconds(s, 5), "against another that speaks")
		s.heard()
		assert.Equal(t, "-----", seconds(s, 5), "but not all the time")
		s.heard()
		assert.Equal(t, "t", seconds(s, 1))
		assert.True(t, s.answers(false))
		s.become(announce.StandsIn)
		assert.False(t, s.answers(false))
	})
	t.Run("stands in", func(t *testing.T) {
		s := newTurn(announce.StandsIn)
		for range 5 {
			assert.Equal(t, "pp", seconds(s, 2))
			s.heard()
		}
		assert.Equal(t, "ppp", seconds(s, 3))
		assert.False(t, s.answers(false))
		assert.Equal(t, "bbbpp", seconds(s, 5))
		assert.True(t, s.answers(false))
		s.heard()
		assert.False(t, s.answers(false))
		assert.Equal(t, "pppb", seconds(s, 4))
		s.become(announce.Speaks)
		assert.Equal(t, "ttt-", seconds(s, 4))
	})
	t.Run("leaves", func(t *testing.T) {
		s := newTurn(announce.Speaks)
		seconds(s, 3)
		s.leave()
		assert.False(t, s.answers(true), "so that another stands in")
		assert.True(t, s.answers(false), "so that clients notice nothing")
		s.heard()
		assert.False(t, s.answers(false))
		assert.Equal(t, "---", seconds(s, 3))
		s = newTurn(announce.StandsIn)
		s.leave()
		assert.Equal(t, "-----", seconds(s, 5))
	})
}

package tables

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFreelist(t *testing.T) {
	at := time.Time{}
	s := newFreelist(1, 11)
	first, ok := s.allocate(4)
	require.True(t, ok)
	assert.EqualValues(t, 1, first)
	second, ok := s.allocate(4)
	require.True(t, ok)
	assert.EqualValues(t, 5, second)
	_, ok = s.allocate(3)
	assert.False(t, ok, "two are left")

	s.free(first, 4)
	_, ok = s.allocate(3)
	assert.False(t, ok, "it has not left yet")
	assert.True(t, s.hasUnavailable())
	s.quarantinePending(at)
	s.releaseBefore(at)
	_, ok = s.allocate(3)
	assert.False(t, ok, "it is still in quarantine")
	s.releaseBefore(at.Add(time.Nanosecond))
	assert.False(t, s.hasUnavailable())
	again, ok := s.allocate(3)
	assert.True(t, ok)
	assert.Equal(t, first, again)

	s.free(again, 3)
	s.releaseAll()
	s.free(second, 4)
	s.releaseAll()
	assert.Equal(t, []extent{{1, 10}}, s.available, "what touches is one again")
	_, ok = newFreelist(1, 1).allocate(1)
	assert.False(t, ok)
}

// TestFreelistKeepsSmallApart: what is small stays out of the gaps of what is large.
func TestFreelistKeepsSmallApart(t *testing.T) {
	s := newFreelist(0, 100)
	var large [3]uint32
	for i := range large {
		large[i], _ = s.allocate(30)
		small, ok := s.allocate(2)
		require.True(t, ok)
		assert.EqualValues(t, 2*i, small)
	}
	assert.Equal(t, [3]uint32{70, 40, 10}, large)
	s.free(large[1], 30)
	s.releaseAll()
	_, ok := s.allocate(2)
	require.True(t, ok)
	again, ok := s.allocate(30)
	assert.True(t, ok)
	assert.Equal(t, large[1], again)
}

// TestFreelistNeverGivesTwice takes and gives at random, and looks at every entry.
func TestFreelistNeverGivesTwice(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	s := newFreelist(0, 500)
	var taken [500]bool
	var held []extent
	total := 0
	for range 20000 {
		if r.IntN(2) == 0 && len(held) > 0 {
			i := r.IntN(len(held))
			e := held[i]
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
			for j := range e.count {
				taken[e.first+j] = false
			}
			s.free(e.first, e.count)
			s.releaseAll()
			total -= int(e.count)
			continue
		}
		count := uint32(1 + r.IntN(40))
		first, ok := s.allocate(count)
		if !ok {
			continue
		}
		for j := range count {
			require.False(t, taken[first+j])
			taken[first+j] = true
		}
		held = append(held, extent{first, count})
		total += int(count)
	}
	free := 0
	for i, e := range s.available {
		free += int(e.count)
		if i > 0 {
			require.Less(t, s.available[i-1].first+s.available[i-1].count, e.first, "ascending, none touches another")
		}
	}
	assert.Equal(t, 500, free+total)
}

func TestRestoreFreelist(t *testing.T) {
	at := time.Unix(1, 0)
	s := restoreFreelist(10, []entryUse{inUse, neverUsed, neverUsed, wasUsed, inUse, neverUsed}, at)
	assert.Equal(t, []extent{{11, 2}, {15, 1}}, s.available)
	assert.Equal(t, []quarantined{{extent{13, 1}, at}}, s.quarantine)
	s.releaseAll()
	assert.Equal(t, []extent{{11, 3}, {15, 1}}, s.available)
}

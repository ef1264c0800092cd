package dataplane

import (
	"slices"
	"time"
)

// space hands out parts of an array. What is given back first leaves (until the change that frees it is made) and then rests
// (packets on their way may still read it) before it is free again. A space is pure: the time is told to it.
type space struct {
	free    []extent // ascending, none touches another
	leaving []extent
	resting []rest // oldest first
}

// extent is a part of an array.
type extent struct{ first, count uint32 }

// rest is an extent that has been freed at a time.
type rest struct {
	extent
	since time.Time
}

// newSpace is free from first up to and without end.
func newSpace(first, end uint32) *space {
	s := &space{}
	if end > first {
		s.free = []extent{{first, end - first}}
	}
	return s
}

// take hands out count entries, the first that are free.
func (s *space) take(count uint32) (uint32, bool) {
	for i := range s.free {
		e := &s.free[i]
		if e.count < count {
			continue
		}
		first := e.first
		e.first, e.count = e.first+count, e.count-count
		if e.count == 0 {
			s.free = slices.Delete(s.free, i, i+1)
		}
		return first, true
	}
	return 0, false
}

// give takes back what was handed out.
func (s *space) give(first, count uint32) { s.leaving = append(s.leaving, extent{first, count}) }

// settle says that all that leaves has left now.
func (s *space) settle(now time.Time) {
	for _, e := range s.leaving {
		s.resting = append(s.resting, rest{e, now})
	}
	s.leaving = nil
}

// wake frees what has rested since before a time.
func (s *space) wake(before time.Time) {
	n := 0
	for n < len(s.resting) && s.resting[n].since.Before(before) {
		s.release(s.resting[n].extent)
		n++
	}
	s.resting = slices.Delete(s.resting, 0, n)
}

// wakeAll frees all that leaves or rests.
func (s *space) wakeAll() {
	for _, r := range s.resting {
		s.release(r.extent)
	}
	for _, e := range s.leaving {
		s.release(e)
	}
	s.resting, s.leaving = nil, nil
}

// waits says whether waiting would free something.
func (s *space) waits() bool { return len(s.leaving) > 0 || len(s.resting) > 0 }

// release makes an extent free, and one with those that it touches.
func (s *space) release(e extent) {
	i, _ := slices.BinarySearchFunc(s.free, e, func(a, b extent) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	if i < len(s.free) && e.first+e.count == s.free[i].first {
		s.free[i].first, s.free[i].count = e.first, s.free[i].count+e.count
	} else {
		s.free = slices.Insert(s.free, i, e)
	}
	if i > 0 && s.free[i-1].first+s.free[i-1].count == s.free[i].first {
		s.free[i-1].count += s.free[i].count
		s.free = slices.Delete(s.free, i, i+1)
	}
}

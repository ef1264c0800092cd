package tables

import (
	"slices"
	"time"
)

// freelist allocates parts of an array. What is freed is first pending (until the change that frees it is made) and then in
// quarantine (packets on their way may still read it) before it is available again. It is pure: the time is an argument.
type freelist struct {
	available  []extent // ascending, none touches another
	pending    []extent
	quarantine []quarantined // oldest first
}

// extent is a part of an array.
type extent struct{ first, count uint32 }

// quarantined is an extent with the time when it was freed.
type quarantined struct {
	extent
	since time.Time
}

// newFreelist has all available from first up to and without end.
func newFreelist(first, end uint32) *freelist {
	s := &freelist{}
	if end > first {
		s.available = []extent{{first, end - first}}
	}
	return s
}

// largeExtent is how many entries are many: these come from the top.
const largeExtent = 8

// allocate returns the first of count adjacent entries: the lowest that are available, or if they are many the highest. So what is
// small, such as lists of backends, doesn't end up in the gaps that something large, such as a table, has left.
func (s *freelist) allocate(count uint32) (uint32, bool) {
	if count >= largeExtent {
		return s.allocateHighest(count)
	}
	for i := range s.available {
		e := &s.available[i]
		if e.count < count {
			continue
		}
		first := e.first
		e.first, e.count = e.first+count, e.count-count
		if e.count == 0 {
			s.available = slices.Delete(s.available, i, i+1)
		}
		return first, true
	}
	return 0, false
}

func (s *freelist) allocateHighest(count uint32) (uint32, bool) {
	for i := len(s.available) - 1; i >= 0; i-- {
		e := &s.available[i]
		if e.count < count {
			continue
		}
		e.count -= count
		first := e.first + e.count
		if e.count == 0 {
			s.available = slices.Delete(s.available, i, i+1)
		}
		return first, true
	}
	return 0, false
}

// free gives entries back.
func (s *freelist) free(first, count uint32) { s.pending = append(s.pending, extent{first, count}) }

// quarantinePending puts what is pending into quarantine: the changes that free it were made.
func (s *freelist) quarantinePending(now time.Time) {
	for _, e := range s.pending {
		s.quarantine = append(s.quarantine, quarantined{e, now})
	}
	s.pending = nil
}

// releaseBefore makes available what was freed before a time.
func (s *freelist) releaseBefore(before time.Time) {
	n := 0
	for n < len(s.quarantine) && s.quarantine[n].since.Before(before) {
		s.insert(s.quarantine[n].extent)
		n++
	}
	s.quarantine = slices.Delete(s.quarantine, 0, n)
}

// releaseAll makes all available that is pending or in quarantine.
func (s *freelist) releaseAll() {
	for _, r := range s.quarantine {
		s.insert(r.extent)
	}
	for _, e := range s.pending {
		s.insert(e)
	}
	s.quarantine, s.pending = nil, nil
}

// all returns a copy that has all that is not in use available.
func (s *freelist) all() *freelist {
	all := &freelist{available: slices.Clone(s.available), pending: slices.Clone(s.pending), quarantine: slices.Clone(s.quarantine)}
	all.releaseAll()
	return all
}

// count is how many entries are available.
func (s *freelist) count() uint32 {
	n := uint32(0)
	for _, e := range s.available {
		n += e.count
	}
	return n
}

// largest is how many adjacent entries are available at most.
func (s *freelist) largest() uint32 {
	n := uint32(0)
	for _, e := range s.available {
		n = max(n, e.count)
	}
	return n
}

// hasUnavailable reports whether anything is pending or in quarantine.
func (s *freelist) hasUnavailable() bool { return len(s.pending) > 0 || len(s.quarantine) > 0 }

// insert makes an extent available, and joins it with adjacent ones.
func (s *freelist) insert(e extent) {
	i, _ := slices.BinarySearchFunc(s.available, e, func(a, b extent) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	if i < len(s.available) && e.first+e.count == s.available[i].first {
		s.available[i].first, s.available[i].count = e.first, s.available[i].count+e.count
	} else {
		s.available = slices.Insert(s.available, i, e)
	}
	if i > 0 && s.available[i-1].first+s.available[i-1].count == s.available[i].first {
		s.available[i-1].count += s.available[i].count
		s.available = slices.Delete(s.available, i, i+1)
	}
}

package services

import (
	"math"
	"math/bits"
	"slices"
)

// fewSlots is how many vacant slots are looked at one by one. To find one of v vacant slots takes about m/v steps of a
// permutation, or v computations of where in the permutation a slot comes; the last few would take half of all steps.
const fewSlots = 128

// lastSlots are the vacant slots of a table of m, a prime, when there are few.
type lastSlots struct {
	m          uint64
	reciprocal uint64 // 2^64/m: to multiply by it takes a tenth of the time of a division
	vacant     []uint32
}

// newLastSlots finds the slots whose bit is not set.
func newLastSlots(taken []uint64, m uint32) *lastSlots {
	last := &lastSlots{m: uint64(m), reciprocal: math.MaxUint64 / uint64(m), vacant: make([]uint32, 0, fewSlots)}
	for slot := range m {
		if taken[slot/64]>>(slot%64)&1 == 0 {
			last.vacant = append(last.vacant, slot)
		}
	}
	return last
}

// take takes the vacant slot that comes first in the permutation next, next+skip, next+2·skip …
func (l *lastSlots) take(next, skip uint32) uint32 {
	inverse := uint64(invert(skip, uint32(l.m)))
	first, fewest := 0, l.m
	for i, slot := range l.vacant {
		// slot = next + steps·skip, so steps = (slot - next) / skip, all mod m.
		if steps := l.mod((uint64(slot) + l.m - uint64(next)) * inverse); steps < fewest {
			first, fewest = i, steps
		}
	}
	slot := l.vacant[first]
	l.vacant = slices.Delete(l.vacant, first, first+1)
	return slot
}

// mod is x mod m for x below 2^34.
func (l *lastSlots) mod(x uint64) uint64 {
	quotient, _ := bits.Mul64(x, l.reciprocal) // exact, or one too few
	rest := x - quotient*l.m
	if rest >= l.m {
		rest -= l.m
	}
	return rest
}

// invert is the number that gives 1 when multiplied with a, mod m; m is a prime and a from 1 to m-1 (extended Euclid).
func invert(a, m uint32) uint32 {
	x, y := int64(1), int64(0) // rest = x·a mod m, other = y·a mod m
	for rest, other := int64(a), int64(m); rest > 1; {
		quotient := other / rest
		rest, other = other-quotient*rest, rest
		x, y = y-quotient*x, x
	}
	if x < 0 {
		x += int64(m)
	}
	return uint32(x)
}

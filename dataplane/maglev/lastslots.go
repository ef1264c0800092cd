package maglev

import (
	"math"
	"math/bits"
	"slices"
)

// fewSlots is how many vacant slots are looked at one by one. To find one of v vacant slots takes about m/v steps of a
// permutation, or v computations of where in the permutation a slot comes; the last few would take half of all steps.
const fewSlots = 256

// lastSlots are the vacant slots of a table of m, a prime, when there are few.
type lastSlots struct {
	m          uint32
	reciprocal uint64 // 2^64/m, rounded up
	vacant     []uint64
}

// newLastSlots finds the slots below m whose bit is not set.
func newLastSlots(taken []uint64, m uint32) *lastSlots {
	last := &lastSlots{m: m, reciprocal: math.MaxUint64/uint64(m) + 1, vacant: make([]uint64, 0, fewSlots)}
	for first := uint64(0); first < uint64(m); first += 64 {
		for free := ^taken[first/64]; free != 0; free &= free - 1 {
			if slot := first + uint64(bits.TrailingZeros64(free)); slot < uint64(m) {
				last.vacant = append(last.vacant, slot)
			}
		}
	}
	return last
}

// take takes the vacant slot that comes first in the permutation next, next+skip, next+2·skip …
//
// A slot comes after (slot-next)/skip steps, mod m. A step is 2^64/m here, so that the overflow of 64 bits is the modulus and
// one multiplication does. What rounding adds is below m² < 2^34, far less than a step.
func (l *lastSlots) take(next, skip uint32) uint32 {
	perSlot := l.reciprocal * uint64(invert(skip, l.m))
	first, fewest := 0, uint64(math.MaxUint64)
	for i, slot := range l.vacant {
		if steps := (slot - uint64(next)) * perSlot; steps < fewest {
			first, fewest = i, steps
		}
	}
	slot := l.vacant[first]
	l.vacant = slices.Delete(l.vacant, first, first+1)
	return uint32(slot)
}

// invert is the number that gives 1 when multiplied with a, mod m; m is a prime and a from 1 to m-1 (extended Euclid).
func invert(a, m uint32) uint32 {
	x, y := int32(1), int32(0) // rest = x·a mod m, other = y·a mod m
	for rest, other := a, m; rest > 1; {
		quotient := other / rest
		rest, other = other-quotient*rest, rest
		x, y = y-int32(quotient)*x, x
	}
	if x < 0 {
		x += int32(m)
	}
	return uint32(x)
}

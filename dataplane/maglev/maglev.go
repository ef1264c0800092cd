// Package maglev fills the tables of Maglev hashing: "Maglev: A Fast and Reliable Software Network Load Balancer" (Eisenbud et al., NSDI
// 2016). It is pure.
package maglev

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

const (
	// DefaultSize suits up to about 160 backends: with 100 slots for each they differ by at most 1 %.
	DefaultSize = 16381
	// MaxSize is the largest table, the "large" one of the Maglev paper.
	MaxSize = 65537

	// The seeds of the two hashes of a backend's name. Nodes with other seeds would choose other backends for the
	// same flow, so they never change.
	offsetSeed = 0x6473726c61623031
	skipSeed   = 0x6473726c61623032
)

// Backend is a backend of a table. Weight 0 gives it no slot.
type Backend struct {
	Name   string
	Weight uint32
}

// permutation is the order in which a backend wants the m slots of a table: Offset, Offset+Skip, Offset+2·Skip … mod m.
type permutation struct {
	Offset uint32 // below m
	Skip   uint32 // from 1 to m-1
	Weight uint32 // turns relative to the other backends; 0: none
}

// Table fills a table of m slots, m a prime, with indices into backends as in "Maglev: A Fast and Reliable Software
// Network Load Balancer" (Eisenbud et al., NSDI 2016), section 3.4. The result depends on names and weights alone and not
// on their order, so all nodes get the same table. It is nil without backends or without weights.
func Table(backends []Backend, m uint32) ([]uint32, error) {
	if err := CheckSize(m); err != nil {
		return nil, err
	}
	order := make([]uint32, len(backends))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		if byName := strings.Compare(backends[a].Name, backends[b].Name); byName != 0 {
			return byName
		}
		return cmp.Compare(backends[a].Weight, backends[b].Weight)
	})
	permutations := make([]permutation, len(order))
	var hash xxhash.Digest
	for i, index := range order {
		permutations[i] = permute(&hash, backends[index], m)
	}
	return populate(permutations, order, m), nil
}

// permute gives a backend its order from two independent hashes of its name.
func permute(hash *xxhash.Digest, backend Backend, m uint32) permutation {
	hash.ResetWithSeed(offsetSeed)
	_, _ = hash.WriteString(backend.Name) // never fails
	offset := hash.Sum64() % uint64(m)
	hash.ResetWithSeed(skipSeed)
	_, _ = hash.WriteString(backend.Name)
	skip := hash.Sum64()%uint64(m-1) + 1
	return permutation{Offset: uint32(offset), Skip: uint32(skip), Weight: backend.Weight}
}

// populate fills a table of m slots, m a prime, with values, one for each permutation: in each round every backend takes the
// next slot of its permutation that is still free (pseudocode 1 of the paper). A backend of half the greatest weight takes
// every second round, and so on. The result is nil without permutations or without weights. It ends because a prime m makes each
// permutation visit every slot.
func populate(permutations []permutation, values []uint32, m uint32) []uint32 {
	turns, greatest := turnsOf(permutations)
	if greatest == 0 {
		return nil
	}
	slots := make([]uint32, m)
	// Which slots are taken, apart from what is in them: 8 KiB stay in the fastest cache, four bytes a slot do not. A
	// length that is a power of two makes the check of an index a mask.
	var taken [2048]uint64
	i := 0
	for vacant := m; vacant > fewSlots; i++ {
		if i == len(turns) {
			i = 0
		}
		t := &turns[i]
		if t.rest > 0 && t.misses(greatest) {
			continue
		}
		slot, back := uint64(t.next), uint64(t.skip)-uint64(m)
		for taken[slot/64%2048]>>(slot%64)&1 != 0 {
			slot = step(slot, back, uint64(m))
		}
		taken[slot/64%2048] |= 1 << (slot % 64)
		slots[slot] = values[i]
		t.next = uint32(step(slot, back, uint64(m)))
		vacant--
	}
	for last := newLastSlots(taken[:], m); len(last.vacant) > 0; i++ {
		if i == len(turns) {
			i = 0
		}
		t := &turns[i]
		if t.rest > 0 && t.misses(greatest) {
			continue
		}
		slot := last.take(t.next, t.skip)
		slots[slot] = values[i]
		t.next = uint32(step(uint64(slot), uint64(t.skip)-uint64(m), uint64(m)))
	}
	return slots
}

// turn is a permutation that has got somewhere.
type turn struct {
	next, skip   uint32
	rest, credit uint32 // rest: what the weight lacks to the greatest
}

// turnsOf also finds the greatest weight.
func turnsOf(permutations []permutation) (turns []turn, greatest uint32) {
	for _, p := range permutations {
		greatest = max(greatest, p.Weight)
	}
	turns = make([]turn, len(permutations))
	for i, p := range permutations {
		turns[i] = turn{next: p.Offset, skip: p.Skip, rest: greatest - p.Weight}
	}
	return turns, greatest
}

// misses reports whether the permutation is left out of this round, because its weight is below the greatest.
func (t *turn) misses(greatest uint32) bool {
	if t.credit < t.rest {
		t.credit += greatest - t.rest
		return true
	}
	t.credit -= t.rest
	return false
}

// step is (slot + skip) mod m, where back is skip - m. It adds m to what is negative without a jump: whether a step wraps
// can't be predicted.
func step(slot, back, m uint64) uint64 {
	slot += back
	return slot + uint64(int64(slot)>>63)&m
}

// CheckSize returns an error unless m slots make a Maglev table.
func CheckSize(m uint32) error {
	if m > MaxSize || !isPrime(m) || m < 3 {
		return fmt.Errorf("check table size: %d is no prime from 3 to %d, use for instance 251, 1021, 16381 or 65537", m, MaxSize)
	}
	return nil
}

func isPrime(n uint32) bool {
	for divisor := uint32(2); divisor*divisor <= n; divisor++ {
		if n%divisor == 0 {
			return false
		}
	}
	return n > 1
}

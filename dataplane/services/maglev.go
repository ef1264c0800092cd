package services

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

const (
	// DefaultTableSize suits up to about 160 backends: with 100 slots for each they differ by at most 1 %.
	DefaultTableSize = 16381
	// MaxTableSize is the largest table, the "large" one of the Maglev paper.
	MaxTableSize = 65537

	// The seeds of the two hashes of a backend's name. Nodes with other seeds would choose other backends for the
	// same flow, so they never change.
	offsetSeed = 0x6473726c61623031
	skipSeed   = 0x6473726c61623032
)

// WeightedName is a backend as Maglev sees it. Weight 0 gives it no slot.
type WeightedName struct {
	Name   string
	Weight uint32
}

// Permutation is the order in which a backend wants the m slots of a table: Offset, Offset+Skip, Offset+2·Skip … mod m.
type Permutation struct {
	Offset uint32 // below m
	Skip   uint32 // from 1 to m-1
	Weight uint32 // turns relative to the other backends; 0: none
}

// Maglev fills a table of m slots, m a prime, with indices into backends as in "Maglev: A Fast and Reliable Software
// Network Load Balancer" (Eisenbud et al., NSDI 2016), section 3.4. The result depends on names and weights alone and not
// on their order, so all nodes get the same table. It is nil without backends or without weights.
func Maglev(backends []WeightedName, m uint32) ([]uint32, error) {
	if err := checkTableSize(m); err != nil {
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
	permutations := make([]Permutation, len(order))
	var hash xxhash.Digest
	for i, index := range order {
		permutations[i] = permute(&hash, backends[index], m)
	}
	return populate(permutations, order, m), nil
}

// permute gives a backend its order from two independent hashes of its name.
func permute(hash *xxhash.Digest, backend WeightedName, m uint32) Permutation {
	hash.ResetWithSeed(offsetSeed)
	_, _ = hash.WriteString(backend.Name) // never fails
	offset := hash.Sum64() % uint64(m)
	hash.ResetWithSeed(skipSeed)
	_, _ = hash.WriteString(backend.Name)
	skip := hash.Sum64()%uint64(m-1) + 1
	return Permutation{Offset: uint32(offset), Skip: uint32(skip), Weight: backend.Weight}
}

// Populate fills a table of m slots, m a prime, with indices into permutations: in each round every backend takes the
// next slot of its permutation that is still free (pseudocode 1 of the paper). A backend of half the greatest weight takes
// every second round, and so on. The result is nil without permutations or without weights.
func Populate(permutations []Permutation, m uint32) ([]uint32, error) {
	if err := checkTableSize(m); err != nil {
		return nil, err
	}
	var errs []error
	for i, p := range permutations {
		if p.Offset >= m || p.Skip == 0 || p.Skip >= m {
			errs = append(errs, fmt.Errorf("populate table: permutation %d has offset %d and skip %d, "+
				"use an offset below %d and a skip from 1 to %d", i, p.Offset, p.Skip, m, m-1))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	values := make([]uint32, len(permutations))
	for i := range values {
		values[i] = uint32(i)
	}
	return populate(permutations, values, m), nil
}

// populate is Populate without the checks; it puts values in the place of indices. It ends because a prime m makes each
// permutation visit every slot.
func populate(permutations []Permutation, values []uint32, m uint32) []uint32 {
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
func turnsOf(permutations []Permutation) (turns []turn, greatest uint32) {
	for _, p := range permutations {
		greatest = max(greatest, p.Weight)
	}
	turns = make([]turn, len(permutations))
	for i, p := range permutations {
		turns[i] = turn{next: p.Offset, skip: p.Skip, rest: greatest - p.Weight}
	}
	return turns, greatest
}

// misses says whether the permutation is left out of this round, because its weight is below the greatest.
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

// checkTableSize says whether m slots make a Maglev table.
func checkTableSize(m uint32) error {
	if m > MaxTableSize || !isPrime(m) || m < 3 {
		return fmt.Errorf("check table size: %d is no prime from 3 to %d, use for instance 251, 1021, 16381 or 65537", m, MaxTableSize)
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

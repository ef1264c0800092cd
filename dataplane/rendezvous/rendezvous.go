// Package rendezvous implements rendezvous hashing, which is also called highest random weight: D. Thaler and C. Ravishankar, "Using
// Name-Based Mappings to Increase Hit Rates", IEEE/ACM Transactions on Networking 6(1), 1998. It is pure.
//
// A flow's hash selects one of Slots slots. Every backend has a score for every slot, and the slot belongs to the greatest. When a
// backend comes, it takes the slots in which its score is the greatest, which is one in n on average; when it goes, each of its slots
// falls to the backend with the next score. No other slot changes hands. The outcome follows from the present set alone, so nodes
// agree whatever changes they have seen.
//
// The packet programs compute the same scores (bpf/select.h). Nodes of two versions share the flows of a service, so the functions of
// this package must never give other results.
package rendezvous

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

const (
	// Slots is the number of slots, whatever the number of backends. With 200 backends of equal weight each has 164, give or
	// take 13 (the standard deviation of a binomial distribution).
	Slots = 1 << 15
	// slotShift leaves the bits of a 32-bit hash that select the slot.
	slotShift = 32 - 15
)

// Backend is a backend of a set. One of weight 0 gets no slot.
type Backend struct {
	Name   string
	Weight uint32
}

// Member is a backend that takes part in the contest for slots.
type Member struct {
	Index  int    // among the backends that the set was made of
	Seed   uint32 // distinguishes its scores from others'; no two members of a set have the same
	Weight uint32
}

// Set is the members among which flows are shared out, ordered by name.
type Set []Member

// New makes the set of some backends. Seeds follow from the names, and where two names have the same hash, from the order of all
// names: nodes with the same backends come to the same set, in whatever order they list them.
func New(backends []Backend) Set {
	set := make(Set, 0, len(backends))
	for i, b := range backends {
		if b.Weight > 0 {
			set = append(set, Member{Index: i, Weight: b.Weight})
		}
	}
	slices.SortStableFunc(set, func(a, b Member) int {
		return cmp.Or(cmp.Compare(backends[a.Index].Name, backends[b.Index].Name), cmp.Compare(a.Weight, b.Weight))
	})
	taken := make(map[uint32]bool, len(set))
	for i := range set {
		m := &set[i]
		for attempt := uint64(0); ; attempt++ {
			m.Seed = seedOf(backends[m.Index].Name, attempt)
			if !taken[m.Seed] {
				break
			}
		}
		taken[m.Seed] = true
	}
	return set
}

// seedOf hashes a name; further attempts give other hashes.
func seedOf(name string, attempt uint64) uint32 {
	var hash xxhash.Digest
	hash.ResetWithSeed(attempt)
	_, _ = hash.WriteString(name) // never fails
	return uint32(hash.Sum64())
}

// SlotOf is the slot that a flow's hash selects: its highest bits.
func SlotOf(hash uint32) uint32 { return hash >> slotShift }

// Select returns the index of the backend that has the slot, among those that the set was made of. The set must have members.
func (s Set) Select(slot uint32) int {
	if s.isWeighted() {
		return s[s.selectWeighted(slot)].Index
	}
	return s[s.selectEqual(slot)].Index
}

// Table returns for each slot what Select does; nil if the set has no members.
func (s Set) Table() []uint32 {
	if len(s) == 0 {
		return nil
	}
	table := make([]uint32, Slots)
	if s.isWeighted() {
		for slot := range table {
			table[slot] = uint32(s[s.selectWeighted(uint32(slot))].Index)
		}
		return table
	}
	for slot := range table {
		table[slot] = uint32(s[s.selectEqual(uint32(slot))].Index)
	}
	return table
}

func (s Set) isWeighted() bool {
	return slices.ContainsFunc(s, func(m Member) bool { return m.Weight != s[0].Weight })
}

// selectEqual finds the greatest score. Of equal ones the first by name wins.
func (s Set) selectEqual(slot uint32) int {
	first, best, hash := 0, int64(-1), mix(0, uint64(slot))
	for i := range s {
		if score := scoreOf(hash, s[i].Seed); score > best {
			first, best = i, score
		}
	}
	return first
}

const (
	mixFactor   = 0x9e3779b97f4a7c15 // hash_mix in bpf/address.h
	scoreFactor = 0xd6e8feb86659fd93
	// scoreMask leaves 59 bits. The sign stays free for differences, and the lowest four bits for the place in a list of 16:
	// see bpf/select.h.
	scoreMask = 0x7ffffffffffffff0
)

func mix(h, value uint64) uint64 {
	h = (h ^ value) * mixFactor
	return h ^ h>>32
}

// scoreOf is a member's score for the slot whose mix with 0 is hash. Without the mask no two seeds have the same score for a slot.
func scoreOf(hash uint64, seed uint32) int64 {
	return int64(mix(hash, uint64(seed)) * scoreFactor & scoreMask)
}

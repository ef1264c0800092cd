package dataplane

import (
	"fmt"
	"math/bits"

	"github.com/cilium/ebpf"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// Memory is what a node's maps take in the kernel, in bytes.
type Memory struct {
	Loaded uint64 // when they are made
	Full   uint64 // when no entry is free any more
}

// Sizes of the kernel's own structs (kernel/bpf/hashtab.c, lpm_trie.c, ringbuf.c, 64 bit).
const (
	hashElement = 48 // struct htab_elem, before key and value
	hashBucket  = 16 // struct bucket; there is a power of two of them
	hashFree    = 8  // struct llist_node, of an element that is made when it is needed
	trieNode    = 40 // struct lpm_trie_node, before the key's data and the value
	ringPages   = 3  // consumer's and producer's page, and one more
	pageBytes   = 4096
)

// MemoryOf sums what the maps of these sizes take on a machine of so many CPUs, but for a few hundred bytes a map. It is pure.
func MemoryOf(s Sizes, cpus int) (Memory, error) {
	spec, err := bpf.LoadDatapath()
	if err != nil {
		return Memory{}, fmt.Errorf("sum memory: %w", err)
	}
	for name, entries := range s.WithDefaults().Capacities() {
		spec.Maps[name].MaxEntries = entries
	}
	var sum Memory
	for _, m := range spec.Maps {
		one := memoryOfMap(m, uint64(cpus))
		sum.Loaded += one.Loaded
		sum.Full += one.Full
	}
	return sum, nil
}

// memoryOfMap is what one map takes.
func memoryOfMap(m *ebpf.MapSpec, cpus uint64) Memory {
	entries, key, value := uint64(m.MaxEntries), roundUp(m.KeySize), roundUp(m.ValueSize)
	switch m.Type {
	case ebpf.Array:
		return Memory{entries * value, entries * value}
	case ebpf.PerCPUArray:
		return Memory{entries * (value*cpus + 8), entries * (value*cpus + 8)}
	case ebpf.LRUHash:
		all := entries*(hashElement+key+value) + buckets(entries)
		return Memory{all, all}
	case ebpf.Hash:
		return Memory{buckets(entries), buckets(entries) + entries*(hashElement+key+value+hashFree)}
	case ebpf.LPMTrie:
		// Where two prefixes part there can be a node that is no entry.
		return Memory{0, 2 * entries * powerOfTwo(trieNode+uint64(m.KeySize)-4+uint64(m.ValueSize))}
	case ebpf.RingBuf:
		return Memory{entries + ringPages*pageBytes, entries + ringPages*pageBytes}
	}
	return Memory{}
}

func buckets(entries uint64) uint64 { return hashBucket * powerOfTwo(entries) }

// powerOfTwo is the next one from n on, n from 1 on.
func powerOfTwo(n uint64) uint64 { return 1 << bits.Len64(n-1) }

// roundUp is to the next 8 bytes.
func roundUp(n uint32) uint64 { return (uint64(n) + 7) &^ 7 }

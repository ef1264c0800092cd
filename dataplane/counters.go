package dataplane

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// Counter is how many packets, and bytes of them from the Ethernet header on, ended for one reason.
type Counter struct {
	Reason  Reason
	Packets uint64
	Bytes   uint64
}

// Traffic is how many packets, and bytes of them from the Ethernet header on.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

func (t *Traffic) add(c bpf.DatapathCounter) {
	t.Packets += c.Packets
	t.Bytes += c.Bytes
}

// ServiceCounter is what this node saw of one service's port.
type ServiceCounter struct {
	Service  string  `json:"service"` // namespace/name:port/PROTO
	Number   uint32  `json:"number"`  // of the port, as long as the service is there
	Requests Traffic `json:"requests"`
	Replies  Traffic `json:"answers"`
	Drops    Traffic `json:"drops"`
	Flows    uint64  `json:"flows"` // begun
}

// Counters reads all counters of the node, summed over CPUs, in the order of their reasons. They only ever grow.
func (d *DataPath) Counters(names *Names) ([]Counter, error) {
	var all []Counter
	for _, reason := range names.Reasons() {
		var perCPU []bpf.DatapathCounter
		if err := d.objects.Counters.Lookup(uint32(reason), &perCPU); err != nil {
			return nil, fmt.Errorf("read counter %s: %w", names.Reason(reason), err)
		}
		var sum Traffic
		for _, c := range perCPU {
			sum.add(c)
		}
		all = append(all, Counter{Reason: reason, Packets: sum.Packets, Bytes: sum.Bytes})
	}
	return all, nil
}

// ServiceCounters reads the counters of all services' ports, summed over CPUs, sorted by name. They only ever grow while the
// service is there.
func (d *DataPath) ServiceCounters() ([]ServiceCounter, error) {
	names, err := d.serviceNames()
	if err != nil {
		return nil, fmt.Errorf("read services' counters: %w", err)
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("read services' counters: %w", err)
	}
	m := d.objects.ServiceCounters
	size := min(int(m.MaxEntries()), entriesAtOnce)
	keys, values := make([]uint32, size), make([]bpf.DatapathServiceCounter, size*cpus)
	var all []ServiceCounter
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil, fmt.Errorf("read services' counters: %w", err)
		}
		for i := range n {
			if name, ok := names[keys[i]]; ok {
				all = append(all, sumOf(name, keys[i], values[i*cpus:(i+1)*cpus]))
			}
		}
		if err != nil {
			break
		}
	}
	slices.SortFunc(all, func(a, b ServiceCounter) int { return strings.Compare(a.Service, b.Service) })
	return all, nil
}

func sumOf(name string, number uint32, perCPU []bpf.DatapathServiceCounter) ServiceCounter {
	sum := ServiceCounter{Service: name, Number: number}
	for _, c := range perCPU {
		sum.Requests.add(c.Requests)
		sum.Replies.add(c.Replies)
		sum.Drops.add(c.Drops)
		sum.Flows += c.Flows
	}
	return sum
}

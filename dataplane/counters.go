package dataplane

import "fmt"

// Counter is how many packets, and bytes of them from the Ethernet header on, ended for one reason.
type Counter struct {
	Reason  Reason
	Packets uint64
	Bytes   uint64
}

// Counters reads all counters of the node, summed over CPUs, in the order of their reasons. They only ever grow.
func (d *DataPath) Counters(names *Names) ([]Counter, error) {
	var all []Counter
	for _, reason := range names.Reasons() {
		var perCPU []datapathCounter
		if err := d.objects.Counters.Lookup(uint32(reason), &perCPU); err != nil {
			return nil, fmt.Errorf("read counter %s: %w", names.Reason(reason), err)
		}
		sum := Counter{Reason: reason}
		for _, c := range perCPU {
			sum.Packets += c.Packets
			sum.Bytes += c.Bytes
		}
		all = append(all, sum)
	}
	return all, nil
}

package trial

import (
	"fmt"
	"net/netip"

	"github.com/dsrlab/dsrlab/labs/measure"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/results"
)

// enough is the part of what its wires allow that a transfer must reach without a load balancer. Where it doesn't, the machine is what
// slows transfers over these wires, and they say nothing of load balancers. The queue before a wire is deep enough for TCP to fill it; 5 %
// are for its begin.
const enough = 0.95

// UnderCeiling returns why a transfer between a client and pods is slowed by the machine and not by what is between its ends; empty if it
// isn't. A transfer without load balancer is held against its wires. In the same repetition its finding holds for all whose answers take
// the same way, past the LB nodes' ports.
func (t *Attempt) UnderCeiling(client string, pods []netip.Addr, d workload.Direction, payloadRate float64, seen Watched) string {
	if seen.Replies > 0 {
		return ""
	}
	key := fmt.Sprint(t.Phase, " ", results.FormatLabels(t.Labels), " ", t.Repetition)
	if t.Variant.DataPath == testbed.DataPathNone {
		reason := ""
		if ceiling := measure.WiresCeiling(t.Plan, client, pods, d); ceiling > 0 && payloadRate < enough*ceiling {
			reason = fmt.Sprintf("the machine carries %.2f of what the wires allow, without any load balancer", payloadRate/ceiling)
		}
		if t.slowed == nil {
			t.slowed = make(map[string]string)
		}
		t.slowed[key] = reason
	}
	return t.slowed[key]
}

package trial

import (
	"math"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
	"github.com/dsrlab/dsrlab/topologies/shape"
)

// liveTick is the interval at which the rate of a running transfer is shown.
const liveTick = 250 * time.Millisecond

// TellRate tells the narrator, until stop is called, the rate of a transfer at a node's port, including the Ethernet header. If the
// node has no readable port nothing is shown: the rate is for display only.
func (r *Run) TellRate(node string, d workload.Direction) (stop func()) {
	carried := func() (uint64, bool) {
		toNode, fromNode, err := r.Testbed.Network().PortStats(node)
		if err != nil {
			return 0, false
		}
		return map[workload.Direction]shape.Stats{workload.Download: toNode, workload.Upload: fromNode}[d].Bytes, true
	}
	before, ok := carried()
	if !ok {
		return func() {}
	}
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(liveTick)
		defer tick.Stop()
		for at := time.Now(); ; {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			bytes, ok := carried()
			if !ok {
				return
			}
			now := time.Now()
			r.Narrator.Rate(8 * float64(bytes-before) / now.Sub(at).Seconds())
			before, at = bytes, now
		}
	})
	return func() {
		close(done)
		group.Wait()
		r.Narrator.Rate(math.NaN())
	}
}

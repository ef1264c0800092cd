package dataplane

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
)

// The second and the third packet of a flow may come on two CPUs at the same time. Whichever proves the flow, the other must find it:
// under SNAT it would be given another port, and the pod would reset what it does not know.
func TestFlowIsProvenWhileLookedUp(t *testing.T) {
	const flows = 3000
	w := worlds()[0]
	d := w.lb(t, services.ModeSNAT)
	var moved int
	for port := uint16(40000); port < 40000+flows; port++ {
		syn := w.syn(portEcho)
		syn.sport = port
		first := ebpf.RunOptions{Data: syn.frame(t), DataOut: make([]byte, len(syn.frame(t))+256)}
		_, err := d.objects.FromNetwork.Run(&first)
		require.NoError(t, err)
		of := dissect(t, first.DataOut).inner.ports()[0]
		frame := packetSpec{src: w.client, dst: w.vip, sport: port, dport: portEcho, ack: true}.frame(t)
		var runs [2]ebpf.RunOptions
		var errs [len(runs)]error
		var ready atomic.Int32
		var group sync.WaitGroup
		for i := range runs {
			runs[i] = ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
			group.Go(func() {
				ready.Add(1)
				for spins := 0; ready.Load() < int32(len(runs)) && spins < 1e6; spins++ {
				}
				_, errs[i] = d.objects.FromNetwork.Run(&runs[i])
			})
		}
		group.Wait()
		for i := range runs {
			require.NoError(t, errs[i])
			if got := dissect(t, runs[i].DataOut).inner.ports()[0]; got != of {
				moved++
			}
		}
	}
	assert.Zero(t, moved, "of %d flows, so many packets left with another port than the first one", flows)
}

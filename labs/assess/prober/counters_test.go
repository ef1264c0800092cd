package prober

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	diagnosis "github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// Ports that carry next to nothing while they are not probed have no load that could grow.
func TestCount(t *testing.T) {
	start := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	facts := func(after time.Duration, packets uint64) *probe.Facts {
		return &probe.Facts{At: start.Add(after), Outside: "eth0", Devices: []probe.Device{
			{Name: "eth0", BytesIn: 100 * packets, BytesOut: 200 * packets, PacketsIn: packets, PacketsOut: packets},
		}}
	}
	for name, c := range map[string]struct {
		interval time.Duration
		packets  uint64
		counts   bool
	}{
		"calls":     {10 * time.Second, 5000, true},
		"idle":      {10 * time.Second, 20, false},
		"too short": {shortest - 1, 5000, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, site := newModel("a")
			ob := &observer{Site: site, out: &diagnosis.Observations{}, stations: map[string]Station{"a": m.machines["a"]}}
			m.machines["a"].facts = facts(0, 1000)
			before := ob.facts(t.Context())
			m.machines["a"].facts = facts(c.interval, 1000+c.packets)
			ob.count(t.Context(), before)
			if !c.counts {
				assert.Empty(t, ob.out.Counters)
				return
			}
			got := ob.out.Counters
			if assert.Len(t, got, 1) {
				assert.Equal(t, "a", got[0].Node)
				assert.Equal(t, c.interval, got[0].Interval.Duration)
				assert.Equal(t, []uint64{100 * c.packets, 200 * c.packets, c.packets, c.packets},
					[]uint64{got[0].BytesIn, got[0].BytesOut, got[0].PacketsIn, got[0].PacketsOut})
			}
		})
	}
}

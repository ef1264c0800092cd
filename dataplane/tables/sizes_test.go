package tables

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/rendezvous"
)

// TestDefaultsHold: what users of other load balancers run fits without a setting.
func TestDefaultsHold(t *testing.T) {
	s := Sizes{}.WithDefaults()
	assert.GreaterOrEqual(t, s.Slots, uint32(64+16)*bpf.RowsOf(rendezvous.Slots), "64 services of 50 pods, and 16 that change within a second")
	assert.GreaterOrEqual(t, s.Services, uint32(1+400), "400 ports")
	assert.GreaterOrEqual(t, s.Backends, uint32(1+64*50))
	assert.GreaterOrEqual(t, s.Frontends, uint32(350*200), "350 NodePorts on 200 nodes")
}

func TestSizesNameTheirMaps(t *testing.T) {
	assert.Equal(t, "sizes.slots", MapUsage{Name: bpf.DatapathMapSlots}.Setting())
	assert.Equal(t, "sizes.services", MapUsage{Name: bpf.DatapathMapServiceCounters}.Setting())
}

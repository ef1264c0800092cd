package prober

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// A SYN that kube-proxy forwards is seen by two nodes, and the second one may tell of it first.
func TestEntryIsWhereThePacketCameIn(t *testing.T) {
	ob := &observer{Site: Site{Client: Machine{Name: "client"}}, journal: newJournal()}
	id := ob.journal.newID()
	assert.Nil(t, ob.entry(id))
	for _, seen := range []entry{
		{"worker", probe.Sighting{ID: id, Level: probe.LevelDevice, TTL: 62}},
		{"client", probe.Sighting{ID: id, Level: probe.LevelLeft, TTL: 64}},
		{"lb", probe.Sighting{ID: id, Level: probe.LevelSocket, TTL: 64}},
		{"router", probe.Sighting{ID: id, Level: probe.LevelDevice, TTL: 64, Reason: probe.ReasonExpired}},
		{"lb", probe.Sighting{ID: id, Level: probe.LevelDevice, TTL: 63}},
	} {
		ob.journal.add(seen.station, seen.Sighting)
	}
	if e := ob.entry(id); assert.NotNil(t, e) {
		assert.Equal(t, "lb", e.station)
		assert.EqualValues(t, 63, e.TTL)
	}
}

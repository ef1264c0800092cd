package tables

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/rendezvous"
	"github.com/dsrlab/dsrlab/dataplane/services/servicestest"
)

// restored is a mirror of what the maps hold, as another process reads it back.
func (k *kernel) restored() *Mirror {
	r := NewRestorer(k.capacities, time.Time{})
	for key, value := range k.pods {
		r.Pod(key, value)
	}
	for key, value := range k.nodes {
		r.Node(key, value)
	}
	for key, value := range k.cluster {
		r.Cluster(key, value)
	}
	for key, value := range k.local {
		r.LocalBackend(key, value)
	}
	for key, value := range k.ranges {
		r.Range(key, value)
	}
	for key, value := range k.frontends {
		r.Frontend(key, value)
	}
	for number, name := range k.names {
		r.ServiceName(number, name)
	}
	if r.NeverHadBackends() {
		return r.Mirror()
	}
	for number, value := range k.backends {
		r.Backend(number, value)
	}
	for number, row := range k.rows {
		r.Row(number, row)
	}
	return r.Mirror()
}

// carryOut makes the changes of a plan, and lets time pass.
func (d *desk) carryOut(t *testing.T, p *Plan) {
	t.Helper()
	d.kernel.makeWhole(t, p.Changes, true)
	p.Done(d.now)
	d.now = d.now.Add(2 * QuarantineTime)
	clear(d.kernel.freed)
}

// TestPlansGoOn: whole states and changes of one service follow each other, by turns planned by the same mirror and by one that was read
// back. Packets meet what they should at every step, backends keep their numbers, and who reads back finds nothing to do.
func TestPlansGoOn(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	c := fewEntries.Capacities()
	c[bpf.DatapathMapSlots] = 64 * bpf.RowsOf(rendezvous.Slots)
	d := newDesk(c)
	updated, refused := 0, 0
	for range rounds() / 2 {
		if r.IntN(3) == 0 {
			d.Mirror = d.kernel.restored()
		}
		desired := Compile(randomState(r))
		d.carryOut(t, d.Plan(desired, d.now))
		require.Empty(t, desired.Refused())
		d.kernel.checkEqual(t, d.Mirror)
		require.Empty(t, d.kernel.restored().Plan(desired, d.now).Changes, "nothing is left to do")

		name := fmt.Sprintf("default/s%d", r.IntN(6))
		p := d.PlanService(desired, name, servicestest.Of(name, servicestest.Random(r)), d.now)
		d.carryOut(t, p)
		d.kernel.checkEqual(t, d.Mirror)
		if len(desired.Refused()) > 0 { // a frontend is another service's
			assert.Empty(t, p.Changes)
			refused++
			continue
		}
		require.Empty(t, d.kernel.restored().Plan(desired, d.now).Changes, "nothing is left to do")
		updated++
	}
	assert.NotZero(t, updated)
	if !testing.Short() {
		assert.NotZero(t, refused)
	}
}

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

// desk is a mirror, the maps that its plans go to, and a clock.
type desk struct {
	*Mirror
	kernel *kernel
	now    time.Time
}

func newDesk(c Capacities) *desk { return &desk{Mirror: newMirror(c), kernel: newKernel(c)} }

// desiredOf compiles a state, of which all must be valid.
func desiredOf(t *testing.T, s State) *Desired {
	t.Helper()
	v, problems := newNodeView(s)
	require.Empty(t, problems)
	specs, invalid := compileAll(v, s.Tables)
	require.Empty(t, invalid)
	return &Desired{view: v, specs: specs, precedence: s.Precedence}
}

// planAll plans a whole state.
func (d *desk) planAll(t *testing.T, s State) []Change {
	t.Helper()
	p := planAll(d.Mirror, desiredOf(t, s))
	require.Empty(t, p.refused)
	require.Empty(t, p.leftOut)
	return p.changes
}

// settle lets time pass after the changes of a plan: enough for what was freed before to be used again, or little.
func (d *desk) passTime(enough bool) {
	for _, s := range d.freelists() {
		s.quarantinePending(d.now)
	}
	if enough {
		d.now = d.now.Add(2 * QuarantineTime)
		clear(d.kernel.freed)
	}
	for _, s := range d.freelists() {
		s.releaseBefore(d.now.Add(-QuarantineTime))
	}
}

func waits(changes []Change) int {
	n := 0
	for _, c := range changes {
		if c.Wait {
			n++
		}
	}
	return n
}

// rounds are how many random states a test goes through: fewer where it is to be short, as under emulation.
func rounds() int {
	if testing.Short() {
		return 8
	}
	return 120
}

func TestUpdateIsWholeAtEveryStep(t *testing.T) {
	for _, room := range []struct {
		name     string
		rows     uint32
		mustWait bool
	}{{"room", 64 * bpf.RowsOf(rendezvous.Slots), false}, {"little room", 14, true}} {
		t.Run(room.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			c := fewEntries.Capacities()
			c[bpf.DatapathMapSlots] = room.rows
			d := newDesk(c)
			waited := 0
			for range rounds() {
				s := randomState(r)
				if room.mustWait {
					for i := range s.Tables.Backends {
						s.Tables.Backends[i].Weight = 1 // lists only
					}
				}
				changes := d.planAll(t, s)
				d.kernel.makeWhole(t, changes, !room.mustWait)
				d.kernel.checkEqual(t, d.Mirror)
				waited += waits(changes)
				d.passTime(r.IntN(3) == 0)
				assert.Empty(t, d.planAll(t, s), "nothing is left to do")
			}
			if !testing.Short() {
				assert.Equal(t, room.mustWait, waited > 0)
			}
		})
	}
}

// TestUpdateOfOneService: services change one by one, and the maps come to the same as if all were applied at once.
func TestUpdateOfOneService(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	c := fewEntries.Capacities()
	c[bpf.DatapathMapSlots] = 64 * bpf.RowsOf(rendezvous.Slots)
	d := newDesk(c)
	s := randomState(r)
	d.kernel.makeWhole(t, d.planAll(t, s), true)
	changes, err := planOne(d.Mirror, "", nil) // backends of no service
	require.NoError(t, err)
	d.kernel.makeWhole(t, changes, true)
	d.passTime(true)
	for range rounds() {
		next := randomState(r)
		next.Nodes, next.Pods = s.Nodes, s.Pods
		s = next
		specs := make(map[string]*serviceSpec)
		for i := range 6 {
			name := fmt.Sprintf("default/s%d", i)
			spec, err := compileOne(d.view, name, servicestest.Of(name, s.Tables))
			require.NoError(t, err)
			if spec.isEmpty() {
				spec = nil
			} else {
				specs[name] = spec
			}
			for key, owner := range d.owners { // as it is with services that come and go: whoever has it lets it go first
				if spec != nil && owner != name && spec.has(key) {
					changes, err := planOne(d.Mirror, owner, nil)
					require.NoError(t, err)
					d.kernel.makeWhole(t, changes, true)
				}
			}
			changes, err := planOne(d.Mirror, name, spec)
			require.NoError(t, err)
			d.kernel.makeWhole(t, changes, true)
			d.kernel.checkEqual(t, d.Mirror)
			d.passTime(r.IntN(3) == 0)
		}
		for name, spec := range specs { // those that were taken away above
			changes, err := planOne(d.Mirror, name, spec)
			require.NoError(t, err)
			d.kernel.makeWhole(t, changes, true)
		}
		d.passTime(false)
		assert.Empty(t, planAll(d.Mirror, &Desired{view: d.view, specs: specs}).changes, "nothing is left to do")
	}
}

// planOne makes the mirror hold this spec of one service, or with nil none.
func planOne(m *Mirror, name string, spec *serviceSpec) ([]Change, error) {
	plan := newPlanner(m)
	if spec == nil {
		plan.remove(name)
	} else if err := plan.set(name, spec); err != nil {
		return nil, err
	}
	plan.flush()
	return plan.changes, nil
}

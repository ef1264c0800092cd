package dataplane

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/rendezvous"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// randomState has some services with some backends of some pods, shared, draining, local or not.
func randomState(r *rand.Rand) State {
	s := State{Node: nodeName(0), Nodes: nodesOf(2 + r.IntN(2)), Tables: &services.Tables{}}
	weights := []uint32{0, 1, 1, 1} // mostly lists, which take no time
	if r.IntN(8) == 0 {
		weights = []uint32{1, 2}
	}
	for i := range 8 {
		if r.IntN(4) == 0 {
			continue
		}
		node := r.IntN(2)
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 2)})
		if i%2 == 1 {
			addr = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i + 2)})
		}
		s.Tables.Backends = append(s.Tables.Backends, services.Backend{
			Address: addr, Port: 80, Protocol: services.TCP, Node: nodeName(node), NodeAddress: nodeAddr(node),
			Weight: weights[r.IntN(len(weights))], Draining: r.IntN(4) == 0,
		})
		if node == 0 && r.IntN(8) > 0 {
			s.Pods = append(s.Pods, Pod{Addresses: []netip.Addr{addr}, Device: 2 + r.IntN(3), MAC: macOf(1), NodeMAC: macOf(2)})
		}
	}
	for i := range 6 {
		if r.IntN(4) > 0 {
			s.Tables.Frontends = append(s.Tables.Frontends, randomFrontend(r, i, len(s.Tables.Backends)))
		}
	}
	return s
}

func randomFrontend(r *rand.Rand, i, backends int) services.Frontend {
	f := services.Frontend{
		Address: netip.AddrFrom4([4]byte{185, 150, 8, byte(i / 2)}), Port: uint16(80 + i), Protocol: services.TCP,
		Kind: services.KindLoadBalancer, Mode: services.ModeDSR, LocalOnly: r.IntN(3) == 0,
		Service: fmt.Sprintf("default/s%d", (i+r.IntN(2))%6),
	}
	if r.IntN(3) == 0 {
		f.Kind = services.KindClusterIP
	}
	if r.IntN(3) == 0 {
		f.SourceRanges = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, 0}), 20+r.IntN(8)).Masked()}
	}
	f.Affinity = time.Duration(r.IntN(2)) * time.Hour
	for b := range backends {
		if r.IntN(2) == 0 {
			f.Backends = append(f.Backends, b)
		}
	}
	return f
}

// ofService is the part of tables that Update is called with.
func ofService(name string, t *services.Tables) *services.Tables {
	part := &services.Tables{}
	index := make(map[int]int)
	for _, f := range t.Frontends {
		if f.Service != name {
			continue
		}
		var backends []int
		for _, b := range f.Backends {
			if _, ok := index[b]; !ok {
				index[b] = len(part.Backends)
				part.Backends = append(part.Backends, t.Backends[b])
			}
			backends = append(backends, index[b])
		}
		f.Backends = backends
		part.Frontends = append(part.Frontends, f)
	}
	return part
}

// desk is a mirror, the maps that its plans go to, and a clock.
type desk struct {
	*mirror
	kernel *kernel
	clock  stoppedClock
}

func newDesk(c capacities) *desk { return &desk{mirror: newMirror(c), kernel: newKernel(c)} }

// desiredOf compiles a state, of which all must be valid.
func desiredOf(t *testing.T, s State) *desiredState {
	t.Helper()
	v, problems := newNodeView(s)
	require.Empty(t, problems)
	specs, invalid := compileAll(v, s.Tables)
	require.Empty(t, invalid)
	return &desiredState{view: v, specs: specs, precedence: s.Precedence}
}

// planAll plans a whole state.
func (d *desk) planAll(t *testing.T, s State) []change {
	t.Helper()
	p := planAll(d.mirror, desiredOf(t, s))
	require.Empty(t, p.refused)
	require.Empty(t, p.leftOut)
	return p.changes
}

// settle lets time pass after the changes of a plan: enough for what was freed before to be used again, or little.
func (d *desk) passTime(enough bool) {
	for _, s := range d.freelists() {
		s.quarantinePending(d.clock.at)
	}
	if enough {
		d.clock.at = d.clock.at.Add(2 * quarantineTime)
		clear(d.kernel.freed)
	}
	for _, s := range d.freelists() {
		s.releaseBefore(d.clock.at.Add(-quarantineTime))
	}
}

func waits(changes []change) int {
	n := 0
	for _, c := range changes {
		if c.wait {
			n++
		}
	}
	return n
}

func capacitiesOf(s Sizes) capacities {
	c := make(capacities)
	for _, f := range s.fields() {
		for _, name := range f.maps {
			c[name] = *f.entries
		}
	}
	return c
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
	}{{"room", 64 * rowsOf(rendezvous.Slots), false}, {"little room", 14, true}} {
		t.Run(room.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			c := capacitiesOf(fewEntries)
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
				d.kernel.checkEqual(t, d.mirror)
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
	c := capacitiesOf(fewEntries)
	c[bpf.DatapathMapSlots] = 64 * rowsOf(rendezvous.Slots)
	d := newDesk(c)
	s := randomState(r)
	d.kernel.makeWhole(t, d.planAll(t, s), true)
	changes, err := planOne(d.mirror, "", nil) // backends of no service
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
			spec, err := compileOne(d.view, name, ofService(name, s.Tables))
			require.NoError(t, err)
			if spec.isEmpty() {
				spec = nil
			} else {
				specs[name] = spec
			}
			for key, owner := range d.owners { // as it is with services that come and go: whoever has it lets it go first
				if spec != nil && owner != name && spec.has(key) {
					changes, err := planOne(d.mirror, owner, nil)
					require.NoError(t, err)
					d.kernel.makeWhole(t, changes, true)
				}
			}
			changes, err := planOne(d.mirror, name, spec)
			require.NoError(t, err)
			d.kernel.makeWhole(t, changes, true)
			d.kernel.checkEqual(t, d.mirror)
			d.passTime(r.IntN(3) == 0)
		}
		for name, spec := range specs { // those that were taken away above
			changes, err := planOne(d.mirror, name, spec)
			require.NoError(t, err)
			d.kernel.makeWhole(t, changes, true)
		}
		d.passTime(false)
		assert.Empty(t, planAll(d.mirror, &desiredState{view: d.view, specs: specs}).changes, "nothing is left to do")
	}
}

// planOne makes the mirror hold this spec of one service, or with nil none.
func planOne(m *mirror, name string, spec *serviceSpec) ([]change, error) {
	plan := newPlanner(m)
	if spec == nil {
		plan.remove(name)
	} else if err := plan.set(name, spec); err != nil {
		return nil, err
	}
	plan.flush()
	return plan.changes, nil
}

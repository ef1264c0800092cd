package tables

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/dataplane/services/servicestest"
)

// apply plans a state and carries the plan out. It returns what is refused, by service.
func (d *desk) apply(t *testing.T, s State) map[string]error {
	t.Helper()
	p := planAll(d.Mirror, desiredOf(t, s))
	d.kernel.makeWhole(t, p.changes, false)
	d.kernel.checkEqual(t, d.Mirror)
	d.checkReferences(t)
	d.passTime(false)
	return p.refused
}

// checkReferences counts the references that services have, and compares them with those that the mirror has counted.
func (d *desk) checkReferences(t *testing.T) {
	t.Helper()
	backends, sets, names := map[backendID]int{}, map[*backendSet]int{}, map[string]int{}
	frontends := map[bpf.DatapathServiceKey]int{}
	for _, inst := range d.services {
		for id := range inst.spec.backendIDs() {
			backends[id]++
		}
		for _, set := range inst.sets {
			sets[set]++
		}
		for _, name := range inst.spec.ports {
			names[name]++
		}
		for key := range inst.spec.frontendKeys() {
			frontends[key]++
		}
	}
	require.Len(t, d.backends.entries, len(backends))
	for id, n := range backends {
		require.Equal(t, n, d.backends.refs(id))
	}
	require.Len(t, d.sets.entries, len(sets))
	rows := uint32(0)
	for set, n := range sets {
		require.Equal(t, n, set.refs)
		rows += bpf.RowsOf(set.set.Size)
	}
	require.EqualValues(t, d.sets.capacity, d.sets.rows.all().count()+rows, "no row is lost")
	require.EqualValues(t, d.backends.capacity-1, int(d.backends.numbers.all().count())+len(backends), "no number is lost")
	require.EqualValues(t, d.ports.capacity-1, int(d.ports.numbers.all().count())+len(names), "no number is lost")
	require.Len(t, d.ports.entries, len(names))
	for name, n := range names {
		require.Equal(t, n, d.ports.refs(name))
	}
	require.Len(t, d.frontends.entries, len(frontends))
	for key, n := range frontends {
		require.Equal(t, n, d.frontends.refs(key))
	}
}

// tablesOf are those of some services of some backends each.
func tablesOf(parts ...*services.Tables) *services.Tables {
	all := &services.Tables{}
	for _, part := range parts {
		for _, f := range part.Frontends {
			f.Backends = slices.Clone(f.Backends)
			for i := range f.Backends {
				f.Backends[i] += len(all.Backends)
			}
			all.Frontends = append(all.Frontends, f)
		}
		all.Backends = append(all.Backends, part.Backends...)
	}
	return all
}

func stateOf(parts ...*services.Tables) State {
	return State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: tablesOf(parts...)}
}

// exactly are capacities that a state fills to the last entry.
func exactly(t *testing.T, s State) Capacities {
	t.Helper()
	c := fewEntries.Capacities()
	d := newDesk(c)
	require.Empty(t, d.apply(t, s))
	for _, u := range d.Usage() {
		c[u.Name] = uint32(u.Used)
	}
	c[bpf.DatapathMapServiceNames]++ // number 0 is none
	c[bpf.DatapathMapBackends]++
	return c
}

// One service too many is left out alone, and whatever else changes at the same moment changes: new pods, other services.
func TestOneTooMany(t *testing.T) {
	fits := stateOf(servicestest.One(0, 2), servicestest.One(1, 2), servicestest.One(2, 2))
	for name := range exactly(t, fits) {
		switch name {
		case bpf.DatapathMapServiceNames, bpf.DatapathMapSlots, bpf.DatapathMapBackends, bpf.DatapathMapFrontends:
		default:
			continue
		}
		t.Run(name, func(t *testing.T) {
			c := fewEntries.Capacities()
			c[name] = exactly(t, fits)[name]
			d := newDesk(c)
			require.Empty(t, d.apply(t, fits))
			next := stateOf(servicestest.One(0, 1), servicestest.One(1, 2), servicestest.One(2, 2), servicestest.One(3, 2), servicestest.One(4, 9))
			next.Pods = []Pod{{Addresses: []netip.Addr{netip.MustParseAddr("10.9.9.9")}, Device: 2, MAC: macOf(1), NodeMAC: macOf(2)}}
			refused := d.apply(t, next)
			require.Contains(t, refused, "default/s00004")
			assert.ErrorContains(t, refused["default/s00004"], settingOf(name)+": no room in map "+name)
			assert.Len(t, d.kernel.pods, 1)
			assert.Len(t, d.services["default/s00000"].backends, 1, "it has changed")
			for range 3 {
				p := planAll(d.Mirror, desiredOf(t, next))
				assert.Zero(t, waits(p.changes), "trying again holds up nobody")
				d.kernel.makeWhole(t, p.changes, true)
				d.passTime(true)
				assert.Equal(t, len(refused), len(p.refused))
			}
			next.Tables = tablesOf(servicestest.One(0, 1), servicestest.One(3, 2))
			require.Empty(t, d.apply(t, next), "it gets room that others leave")
		})
	}
}

// In maps that are full to the last entry every service can still change, whatever changes of it.
func TestExactlyFull(t *testing.T) {
	full := stateOf(servicestest.One(0, 3), servicestest.One(1, 3), servicestest.One(2, 3))
	other := servicestest.One(1, 3)
	for i := range other.Backends {
		other.Backends[i].Address = netip.AddrFrom4([4]byte{10, 200, 0, byte(i)})
	}
	port := servicestest.One(1, 3)
	port.Frontends[0].Port, port.Frontends[1].Port = 81, 81
	moved := servicestest.One(1, 3)
	moved.Frontends[0].Address = netip.MustParseAddr("198.18.7.7")
	for _, test := range []struct {
		name string
		to   *services.Tables
	}{
		{"other backends", other}, {"fewer", servicestest.One(1, 2)}, {"none", servicestest.One(1, 0)}, {"another port", port}, {"another address", moved},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := exactly(t, full)
			d := newDesk(c)
			require.Empty(t, d.apply(t, full))
			for range 3 {
				require.Empty(t, d.apply(t, stateOf(servicestest.One(0, 3), test.to, servicestest.One(2, 3))))
				assert.Len(t, d.services["default/s00001"].backends, len(test.to.Backends))
				require.Empty(t, d.apply(t, full))
			}
		})
	}
}

// Where more services change at once in full maps than can wait for each other, some stay as they were, and change the next time.
func TestExactlyFullManyChange(t *testing.T) {
	before, after := []*services.Tables{}, []*services.Tables{}
	for i := range 2 * waitsAtOnce {
		before, after = append(before, servicestest.One(i, 3)), append(after, servicestest.One(i, 2))
		after[i].Backends[1].Address = netip.AddrFrom4([4]byte{10, 200, 0, byte(i)})
	}
	sizes := exactly(t, stateOf(before...))
	d := newDesk(sizes)
	require.Empty(t, d.apply(t, stateOf(before...)))
	left := len(before)
	for range 3 {
		p := planAll(d.Mirror, desiredOf(t, stateOf(after...)))
		d.kernel.makeWhole(t, p.changes, false)
		assert.LessOrEqual(t, waits(p.changes), waitsAtOnce)
		assert.True(t, len(p.refused) < left || left == 0)
		left = len(p.refused)
		d.passTime(true)
	}
	assert.Zero(t, left)
}

// A service whose new version does not fit stays as it was; all others change.
func TestStaysAsItWas(t *testing.T) {
	d := newDesk(exactly(t, stateOf(servicestest.One(0, 3), servicestest.One(1, 3))))
	require.Empty(t, d.apply(t, stateOf(servicestest.One(0, 3), servicestest.One(1, 3))))
	key := d.services["default/s00000"].spec.frontends[0].key
	before, err := d.kernel.view(key)
	require.NoError(t, err)
	p := planAll(d.Mirror, desiredOf(t, stateOf(servicestest.One(0, 4), servicestest.One(1, 2))))
	d.kernel.makeWhole(t, p.changes, false)
	assert.Empty(t, p.refused, "the other one has left room")

	d = newDesk(exactly(t, stateOf(servicestest.One(0, 3), servicestest.One(1, 3))))
	require.Empty(t, d.apply(t, stateOf(servicestest.One(0, 3), servicestest.One(1, 3))))
	p = planAll(d.Mirror, desiredOf(t, stateOf(servicestest.One(0, 9), servicestest.One(1, 3))))
	assert.Contains(t, p.refused, "default/s00000")
	d.kernel.makeWhole(t, p.changes, true)
	after, err := d.kernel.view(key)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	d.checkReferences(t)
}

// Who comes first by precedence gets the room: without one by name.
func TestPrecedence(t *testing.T) {
	c := fewEntries.Capacities()
	c[bpf.DatapathMapFrontends] = 8
	all := stateOf(servicestest.One(0, 1), servicestest.One(1, 1), servicestest.One(2, 1))
	assert.Equal(t, []string{"default/s00002"}, sortedNames(newDesk(c).apply(t, all)))
	all.Precedence = func(a, b string) int { return strings.Compare(b, a) }
	assert.Equal(t, []string{"default/s00000"}, sortedNames(newDesk(c).apply(t, all)))
}

// One pod, node or prefix too many is left out alone, and one that comes as another one goes has its room.
func TestViewTooLarge(t *testing.T) {
	pod := func(last byte) Pod {
		return Pod{Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, last})}, Device: 2, MAC: macOf(1), NodeMAC: macOf(2)}
	}
	c := fewEntries.Capacities()
	c[bpf.DatapathMapPods], c[bpf.DatapathMapNodes] = 2, 4
	d := newDesk(c)
	s := stateOf(servicestest.One(0, 2))
	s.Nodes, s.Pods = nodesOf(3), []Pod{pod(3), pod(1), pod(2)}
	for range 2 {
		p := planAll(d.Mirror, desiredOf(t, s))
		d.kernel.makeWhole(t, p.changes, true)
		assert.Empty(t, p.refused)
		var left []string
		for _, problem := range p.leftOut {
			left = append(left, problem.Object+" "+problem.Field)
		}
		assert.Equal(t, []string{"pod [10.0.0.3] sizes.pods", "node node1 sizes.nodes", "node node2 sizes.nodes"}, left)
		assert.Len(t, d.kernel.frontends, 4)
	}
	s.Nodes, s.Pods = nodesOf(2), []Pod{pod(4), pod(2)}
	p := planAll(d.Mirror, desiredOf(t, s))
	d.kernel.makeWhole(t, p.changes, true)
	assert.Empty(t, p.leftOut)
	assert.Contains(t, d.kernel.pods, bpf.WireAddress(netip.MustParseAddr("10.0.0.4")))
	d.kernel.checkEqual(t, d.Mirror)
}

// A frontend goes from a service that can't change to another one, and with that one: nothing refers to what is gone.
func TestFrontendOfRefused(t *testing.T) {
	c := fewEntries.Capacities()
	c[bpf.DatapathMapBackends] = 5
	d := newDesk(c)
	require.Empty(t, d.apply(t, stateOf(servicestest.One(0, 2), servicestest.One(1, 2))))
	loses, gains := servicestest.One(0, 9), servicestest.One(1, 2)
	moved := loses.Frontends[0]
	loses.Frontends = loses.Frontends[1:]
	moved.Service, moved.Backends = gains.Frontends[0].Service, gains.Frontends[0].Backends
	gains.Frontends = append(gains.Frontends, moved)
	refused := d.apply(t, stateOf(loses, gains))
	assert.Equal(t, []string{"default/s00000"}, sortedNames(refused))
	require.Equal(t, []string{"default/s00000"}, sortedNames(d.apply(t, stateOf(loses))))
	assert.Len(t, d.kernel.frontends, 2, "the ClusterIP of the service that can't change, and its guard")
	require.Empty(t, d.apply(t, stateOf(servicestest.One(0, 2))))
}

// Random states in maps that are too small: at every moment each packet meets a frontend with all that it refers to, no reference
// is lost, and when there is room again everything is there.
func TestTooSmall(t *testing.T) {
	for _, name := range []string{
		bpf.DatapathMapServiceNames, bpf.DatapathMapSlots, bpf.DatapathMapBackends, bpf.DatapathMapFrontends,
		bpf.DatapathMapLocalBackends, bpf.DatapathMapRanges, bpf.DatapathMapPods,
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(11, 12))
			c := fewEntries.Capacities()
			d := newDesk(c)
			most := 0
			for range 8 {
				d.apply(t, randomState(r))
				for _, u := range d.Usage() {
					if u.Name == name {
						most = max(most, u.Used)
					}
				}
			}
			c[name] = uint32(most*2/3) + 1
			d, refused := newDesk(c), 0
			for range rounds() {
				n := len(d.apply(t, randomState(r)))
				refused += n
				if n == 0 {
					continue
				}
				assert.Empty(t, d.apply(t, stateOf(servicestest.One(0, 1))), "for one there always is room")
			}
			if !testing.Short() && name != bpf.DatapathMapPods {
				assert.NotZero(t, refused)
			}
		})
	}
}

// Ten thousand services of ten backends are refused for want of rows as fast as they are installed.
func TestManyRefused(t *testing.T) {
	c := fewEntries.Capacities()
	c[bpf.DatapathMapBackends] = 11
	d := newDesk(c)
	parts := []*services.Tables{}
	for i := range 200 {
		parts = append(parts, servicestest.One(i, 2))
	}
	s := stateOf(parts...)
	for i := range s.Tables.Backends { // each its own
		s.Tables.Backends[i].Address = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
	}
	p := planAll(d.Mirror, desiredOf(t, s))
	assert.Len(t, p.refused, 195)
	assert.Zero(t, waits(p.changes))
	assert.Contains(t, fmt.Sprint(p.refused["default/s00005"]), "sizes.backends")
}

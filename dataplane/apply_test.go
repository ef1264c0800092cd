package dataplane

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/dataplane/services/servicestest"
	"github.com/dsrlab/dsrlab/dataplane/tables"
)

// contents are what a node's maps hold, read from the kernel.
type contents struct {
	pods      map[bpf.DatapathAddress]bpf.DatapathPod
	nodes     map[bpf.DatapathAddress]bpf.DatapathNode
	cluster   map[bpf.DatapathClusterKey]uint8
	local     map[bpf.DatapathServiceKey]bpf.DatapathPod
	ranges    map[bpf.DatapathRangeKey]uint8 // of services, numbered
	names     map[uint32]bpf.DatapathServiceName
	frontends map[bpf.DatapathServiceKey]bpf.DatapathFrontend
	backends  map[uint32]bpf.DatapathBackend
	list      []Listed
}

func contentsOf(t *testing.T, d *DataPath) contents {
	t.Helper()
	list, err := d.List()
	require.NoError(t, err)
	o := &d.objects
	return contents{
		pods: entriesOf[bpf.DatapathAddress, bpf.DatapathPod](t, o.Pods), nodes: entriesOf[bpf.DatapathAddress, bpf.DatapathNode](t, o.Nodes),
		cluster: entriesOf[bpf.DatapathClusterKey, uint8](t, o.Cluster), local: entriesOf[bpf.DatapathServiceKey, bpf.DatapathPod](t, o.LocalBackends),
		ranges: entriesOf[bpf.DatapathRangeKey, uint8](t, o.Ranges), names: entriesOf[uint32, bpf.DatapathServiceName](t, o.ServiceNames),
		frontends: entriesOf[bpf.DatapathServiceKey, bpf.DatapathFrontend](t, o.Frontends),
		backends:  entriesOf[uint32, bpf.DatapathBackend](t, o.Backends), list: list,
	}
}

func entriesOf[K comparable, V any](t *testing.T, m *ebpf.Map) map[K]V {
	t.Helper()
	all := make(map[K]V)
	require.NoError(t, readEntries(m, func(key K, value V) { all[key] = value }))
	return all
}

// serialsOf are the serials of all backends by what they are.
func (c contents) serialsOf() map[string]uint32 {
	all := make(map[string]uint32)
	for number, b := range c.backends {
		if b.Serial != 0 {
			all[fmt.Sprintf("%v/%d@%v", bpf.AddrPort(b.Address, b.Port), b.Protocol, b.Node.Addr())] = b.Serial<<16 | number
		}
	}
	return all
}

func (c contents) numbersOf() map[string]uint32 {
	all := make(map[string]uint32)
	for number, name := range c.names {
		if number != 0 {
			all[name.String()] = number
		}
	}
	return all
}

// values are the frontends without numbers and sets, which list has by what they stand for.
func (c contents) values() map[bpf.DatapathServiceKey]bpf.DatapathFrontend {
	all := make(map[bpf.DatapathServiceKey]bpf.DatapathFrontend)
	for key, f := range c.frontends {
		f.Service, f.Outside, f.Inside = 0, bpf.DatapathBackendSet{}, bpf.DatapathBackendSet{}
		all[key] = f
	}
	return all
}

// unnumbered is list without numbers: what packets meet.
func (c contents) unnumbered() []Listed {
	all := slices.Clone(c.list)
	for i := range all {
		all[i].Number = 0
		for _, list := range []*[]ListedBackend{&all[i].Backends, &all[i].Inside} {
			*list = slices.Clone(*list)
			for j := range *list {
				(*list)[j].ID, (*list)[j].Serial = 0, 0
			}
			slices.SortFunc(*list, func(a, b ListedBackend) int { // those of one address were in the order of their numbers
				return cmp.Or(a.Address.Compare(b.Address), strings.Compare(a.Protocol, b.Protocol), a.Node.Compare(b.Node))
			})
		}
	}
	return all
}

// assertWhole checks that nothing is referred to that is free.
func (c contents) assertWhole(t *testing.T) {
	t.Helper()
	for _, f := range c.list {
		assert.NotEmpty(t, f.Service)
		for _, b := range slices.Concat(f.Backends, f.Inside) {
			assert.NotEqual(t, "gone", b.State, "backend %d of %v", b.ID, f.Address)
		}
	}
}

// TestApplyGoesOn: random states follow each other, by turns in the hands of the same process and of a new one. The maps come
// to what maps have that were empty before, and what stays keeps its numbers.
func TestApplyGoesOn(t *testing.T) {
	sizes := fewEntries
	sizes.Slots = 64 * 2048 // sets of unequal weights are tables; of two states there are more than fewEntries has room for
	d := newMaps(t, sizes)
	clock := &stoppedClock{at: time.Unix(1, 0)}
	d.clock = clock
	r := rand.New(rand.NewPCG(7, 8))
	var before contents
	for range 60 {
		if r.IntN(3) == 0 {
			d = d.again()
		}
		s := randomState(r)
		n, err := d.Apply(s)
		require.NoError(t, errors.Join(err, n.Err()))
		got := contentsOf(t, d)
		got.assertWhole(t)
		assertStays(t, before.serialsOf(), got.serialsOf())
		assertStays(t, before.numbersOf(), got.numbersOf())
		before = got

		fresh := newMaps(t, sizes)
		_, err = fresh.Apply(s)
		require.NoError(t, err)
		want := contentsOf(t, fresh)
		require.NoError(t, fresh.Close())
		assert.Equal(t, want.pods, got.pods)
		assert.Equal(t, want.nodes, got.nodes)
		assert.Equal(t, want.cluster, got.cluster)
		assert.Equal(t, want.local, got.local)
		assert.Len(t, got.ranges, len(want.ranges))
		assert.Equal(t, want.values(), got.values())
		assert.Equal(t, want.unnumbered(), got.unnumbered())
		again, err := d.again().Apply(s)
		require.NoError(t, err)
		assert.Equal(t, Result{}, again, "nothing is left to do after %d changes", n.Changed)
		clock.at = clock.at.Add(2 * tables.QuarantineTime)
	}
	assert.Zero(t, clock.slept)
}

// assertStays checks that what is in both maps has the same number in both.
func assertStays(t *testing.T, before, after map[string]uint32) {
	t.Helper()
	for name, number := range after {
		if was, ok := before[name]; ok {
			assert.Equal(t, was, number, name)
		}
	}
}

func TestApplyAgainWritesNothing(t *testing.T) {
	d := newMaps(t, fewEntries)
	state := State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: servicestest.Many(3, 2)}
	n, err := d.Apply(state)
	require.NoError(t, err)
	assert.Equal(t, Result{Changed: 4 + 6 + 1 + 3 + 3 + 6 + 3 + 12}, n, "nodes, cluster, serials, names, counters, backends, tables, frontends with guards")
	for _, same := range []*DataPath{d, d.again()} {
		n, err = same.Apply(state)
		require.NoError(t, err)
		assert.Equal(t, Result{}, n)
	}
}

func TestUpdate(t *testing.T) {
	d := newMaps(t, fewEntries)
	_, err := d.Update("default/s00001", servicestest.One(1, 2))
	assert.ErrorIs(t, err, ErrNotApplied)
	state := State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: servicestest.Many(3, 2)}
	_, err = d.Apply(state)
	require.NoError(t, err)
	n, err := d.Update("default/s00001", servicestest.One(1, 2))
	require.NoError(t, err)
	assert.Equal(t, Result{}, n, "it is so already")
	n, err = d.Update("default/s00001", servicestest.One(1, 3))
	require.NoError(t, err)
	assert.Equal(t, Result{Changed: 1 + 1 + 2}, n, "a backend, a table, two frontends")
	n, err = d.Update("default/s00001", nil)
	require.NoError(t, err)
	assert.Equal(t, Result{Changed: 2 + 2 + 3 + 1}, n, "frontends, guards, backends, the name")
	n, err = d.Update("default/s00001", nil)
	require.NoError(t, err)
	assert.Equal(t, Result{}, n)
	n, err = d.Update("default/s00001", servicestest.One(1, 2))
	require.NoError(t, err)
	assert.Equal(t, Result{Changed: 1 + 1 + 2 + 1 + 2 + 2}, n, "name, counter, backends, a table, frontends, guards")
	n, err = d.again().Apply(state)
	require.NoError(t, err)
	assert.Equal(t, Result{}, n, "it is as it was")
}

func TestUpdateErrors(t *testing.T) {
	d := newMaps(t, fewEntries)
	state := State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: servicestest.Many(3, 2)}
	_, err := d.Apply(state)
	require.NoError(t, err)
	refused := func(service string, tables *services.Tables) error {
		result, err := d.Update(service, tables)
		require.NoError(t, err)
		return result.Err()
	}
	assert.EqualError(t, refused("default/other", servicestest.One(1, 2)),
		`service default/other: frontend 198.18.0.1:80/TCP: it is of service "default/s00001"; must be of the service itself`)
	assert.NoError(t, refused("default/other", nil))
	stolen := servicestest.One(1, 2)
	for i := range stolen.Frontends {
		stolen.Frontends[i].Service = "default/thief"
	}
	assert.EqualError(t, refused("default/thief", stolen),
		"service default/thief: frontend 198.18.0.1:80/TCP: it is that of service default/s00001; one service at a time can have it")
	assert.NoError(t, refused("default/thief", nil))
	broken := servicestest.One(1, 2)
	broken.Frontends[0].Backends = []int{7}
	assert.EqualError(t, refused("default/s00001", broken),
		"service default/s00001: frontend 198.18.0.1:80/TCP: found backend 7, the service stays as it was; there are 2")
	_, err = d.Update("", nil)
	assert.EqualError(t, err, "update service: must be named")
	list, err := d.List()
	require.NoError(t, err)
	assert.Len(t, list, 6, "nothing has gone")
	n, err := d.Apply(state)
	require.NoError(t, err)
	assert.Equal(t, Result{}, n, "and it is as it was")
}

// TestFullMaps: what does not fit is refused with the name of the setting to raise, everything else is there, and what fits
// afterwards is installed.
func TestFullMaps(t *testing.T) {
	const want = "in dsrd's configuration"
	for _, test := range []struct {
		name    string
		size    func(*Sizes)
		refused string
		list    int
	}{
		{"slots", func(s *Sizes) { s.Slots = 2 }, "service default/s00002: sizes.slots: no room in map slots with its 2 entries; raise it " + want, 4},
		{"backends", func(s *Sizes) { s.Backends = 6 }, "service default/s00002: sizes.backends: no room in map backends with its 6 entries; raise it " + want, 4},
		{"services", func(s *Sizes) { s.Services = 3 }, "service default/s00002: sizes.services: no room in map service_names with its 3 entries; raise it " + want, 4},
		{"frontends", func(s *Sizes) { s.Frontends = 11 }, "service default/s00002: sizes.frontends: no room in map frontends with its 11 entries; raise it " + want, 4},
		{"nodes", func(s *Sizes) { s.Nodes = 3 }, "node node1: sizes.nodes: no room in map nodes with its 3 entries; raise it " + want, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			sizes := fewEntries
			test.size(&sizes)
			d := newMaps(t, sizes)
			state := State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: servicestest.Many(3, 2)}
			result, err := d.Apply(state)
			require.NoError(t, err)
			assert.EqualError(t, result.Err(), test.refused)
			list, err := d.List()
			require.NoError(t, err)
			assert.Len(t, list, test.list)
			result, err = d.again().Apply(state)
			require.NoError(t, err)
			assert.EqualError(t, result.Err(), test.refused, "another process comes to the same")
			state.Nodes, state.Tables = nodesOf(1), servicestest.Many(2, 2)
			result, err = d.Apply(state)
			require.NoError(t, err)
			assert.NoError(t, result.Err())
			list, err = d.List()
			require.NoError(t, err)
			assert.Len(t, list, 4)
		})
	}
}

// TestApplyAfterError: a change half way is an error; the next call finds out what was done and does the rest.
func TestApplyAfterError(t *testing.T) {
	d := newMaps(t, fewEntries)
	state := State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: servicestest.Many(3, 2)}
	_, err := d.Apply(state)
	require.NoError(t, err)

	frontends := d.objects.Frontends
	readOnly, err := frontends.Clone()
	require.NoError(t, err)
	require.NoError(t, readOnly.Close())
	d.objects.Frontends = readOnly // which refuses all, as it is closed
	_, err = d.Update("default/s00001", servicestest.One(1, 3))
	require.ErrorContains(t, err, "update service default/s00001: put frontends ")
	d.objects.Frontends = frontends

	n, err := d.Update("default/s00002", servicestest.One(2, 3))
	require.NoError(t, err)
	assert.NotZero(t, n.Changed)
	state.Tables = servicestest.Many(3, 2)
	k := contentsOf(t, d)
	k.assertWhole(t)
	assert.Equal(t, 7, len(k.serialsOf()), "the backend of what failed is free again")
	n, err = d.again().Apply(state)
	require.NoError(t, err)
	assert.Equal(t, Result{Changed: 1 + 2 + 1}, n, "s00002 has one backend less: a table, frontends, the backend")
}

package dataplane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// kernelOf reads the real maps.
func kernelOf(t *testing.T, d *DataPath) *kernel {
	t.Helper()
	k := newKernel(d.capacities())
	require.NoError(t, readEntries(d.objects.Pods, func(a bpf.DatapathAddress, v bpf.DatapathPod) { k.pods[a] = v }))
	require.NoError(t, readEntries(d.objects.Nodes, func(a bpf.DatapathAddress, v bpf.DatapathNode) { k.nodes[a] = v }))
	require.NoError(t, readEntries(d.objects.Cluster, func(a bpf.DatapathClusterKey, v uint8) { k.cluster[a] = v }))
	require.NoError(t, readEntries(d.objects.ServiceNames, func(n uint32, v bpf.DatapathServiceName) { k.names[n] = v }))
	require.NoError(t, readEntries(d.objects.LocalBackends, func(a bpf.DatapathServiceKey, v bpf.DatapathPod) { k.local[a] = v }))
	require.NoError(t, readEntries(d.objects.Ranges, func(a bpf.DatapathRangeKey, v uint8) { k.ranges[a] = v }))
	require.NoError(t, readEntries(d.objects.Frontends, func(a bpf.DatapathServiceKey, v bpf.DatapathFrontend) { k.frontends[a] = v }))
	require.NoError(t, readEntries(d.objects.Backends, func(n uint32, v bpf.DatapathBackend) { k.backends[n] = v }))
	require.NoError(t, readEntries(d.objects.Slots, func(n uint32, v bpf.DatapathRow) { k.rows[n] = v }))
	return k
}

// serialsOf are the serials of all backends by what they are.
func (k *kernel) serialsOf() map[string]uint32 {
	all := make(map[string]uint32)
	for number, b := range k.backends {
		if b.Serial != 0 {
			name := fmt.Sprintf("%s@%v", keyText(bpf.DatapathServiceKey{Address: b.Address, Port: b.Port, Protocol: b.Protocol}), b.Node.Addr())
			all[name] = b.Serial<<16 | number
		}
	}
	return all
}

func (k *kernel) numbersOf() map[string]uint32 {
	all := make(map[string]uint32)
	for number, name := range k.names {
		if number != 0 {
			all[name.String()] = number
		}
	}
	return all
}

// TestApplyGoesOn: random states follow each other, by turns in the hands of the same process and of a new one. The maps come
// to what a simulated kernel has, and what stays keeps its numbers.
func TestApplyGoesOn(t *testing.T) {
	sizes := fewEntries
	sizes.Slots = 64 * 2048 // sets of unequal weights are tables; of two states there are more than fewEntries has room for
	d := newMaps(t, sizes)
	clock := &stoppedClock{at: time.Unix(1, 0)}
	d.clock = clock
	r := rand.New(rand.NewPCG(7, 8))
	var before *kernel
	for range 60 {
		if r.IntN(3) == 0 {
			d = d.again()
		}
		s := randomState(r)
		n, err := d.Apply(s)
		require.NoError(t, errors.Join(err, n.Err()))
		k := kernelOf(t, d)
		if before != nil {
			assertStays(t, before.serialsOf(), k.serialsOf())
			assertStays(t, before.numbersOf(), k.numbersOf())
		}
		before = k

		fresh := newDesk(d.capacities())
		changes := fresh.planAll(t, s)
		fresh.kernel.makeWhole(t, changes, true)
		assert.Equal(t, fresh.kernel.pods, k.pods)
		assert.Equal(t, fresh.kernel.nodes, k.nodes)
		assert.Equal(t, fresh.kernel.cluster, k.cluster)
		assert.Equal(t, fresh.kernel.local, k.local)
		assert.Len(t, k.ranges, len(fresh.kernel.ranges))
		assert.Len(t, k.frontends, len(fresh.kernel.frontends))
		for key := range fresh.kernel.frontends {
			want, err := fresh.kernel.view(key)
			require.NoError(t, err)
			got, err := k.view(key)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		}
		again, err := d.again().Apply(s)
		require.NoError(t, err)
		assert.Equal(t, Result{}, again, "nothing is left to do after %d changes", n.Changed)
		clock.at = clock.at.Add(2 * quarantineTime)
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
	state := State{Node: nodeName(0), Nodes: nodesOf(2), Tables: manyServices(3, 2)}
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
	_, err := d.Update("default/s00001", oneService(1, 2))
	assert.ErrorIs(t, err, ErrNotApplied)
	state := State{Node: nodeName(0), Nodes: nodesOf(2), Tables: manyServices(3, 2)}
	_, err = d.Apply(state)
	require.NoError(t, err)
	n, err := d.Update("default/s00001", oneService(1, 2))
	require.NoError(t, err)
	assert.Equal(t, Result{}, n, "it is so already")
	n, err = d.Update("default/s00001", oneService(1, 3))
	require.NoError(t, err)
	assert.Equal(t, Result{Changed: 1 + 1 + 2}, n, "a backend, a table, two frontends")
	n, err = d.Update("default/s00001", nil)
	require.NoError(t, err)
	assert.Equal(t, Result{Changed: 2 + 2 + 3 + 1}, n, "frontends, guards, backends, the name")
	n, err = d.Update("default/s00001", nil)
	require.NoError(t, err)
	assert.Equal(t, Result{}, n)
	n, err = d.Update("default/s00001", oneService(1, 2))
	require.NoError(t, err)
	assert.Equal(t, Result{Changed: 1 + 1 + 2 + 1 + 2 + 2}, n, "name, counter, backends, a table, frontends, guards")
	n, err = d.again().Apply(state)
	require.NoError(t, err)
	assert.Equal(t, Result{}, n, "it is as it was")
}

func TestUpdateErrors(t *testing.T) {
	d := newMaps(t, fewEntries)
	state := State{Node: nodeName(0), Nodes: nodesOf(2), Tables: manyServices(3, 2)}
	_, err := d.Apply(state)
	require.NoError(t, err)
	refused := func(service string, tables *services.Tables) error {
		result, err := d.Update(service, tables)
		require.NoError(t, err)
		return result.Err()
	}
	assert.EqualError(t, refused("default/other", oneService(1, 2)),
		`service default/other: frontend 198.18.0.1:80/TCP: it is of service "default/s00001"; must be of the service itself`)
	assert.NoError(t, refused("default/other", nil))
	stolen := oneService(1, 2)
	for i := range stolen.Frontends {
		stolen.Frontends[i].Service = "default/thief"
	}
	assert.EqualError(t, refused("default/thief", stolen),
		"service default/thief: frontend 198.18.0.1:80/TCP: it is that of service default/s00001; one service at a time can have it")
	assert.NoError(t, refused("default/thief", nil))
	broken := oneService(1, 2)
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
			state := State{Node: nodeName(0), Nodes: nodesOf(2), Tables: manyServices(3, 2)}
			result, err := d.Apply(state)
			require.NoError(t, err)
			assert.EqualError(t, result.Err(), test.refused)
			list, err := d.List()
			require.NoError(t, err)
			assert.Len(t, list, test.list)
			result, err = d.again().Apply(state)
			require.NoError(t, err)
			assert.EqualError(t, result.Err(), test.refused, "another process comes to the same")
			state.Nodes, state.Tables = nodesOf(1), manyServices(2, 2)
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
	state := State{Node: nodeName(0), Nodes: nodesOf(2), Tables: manyServices(3, 2)}
	_, err := d.Apply(state)
	require.NoError(t, err)

	frontends := d.objects.Frontends
	readOnly, err := frontends.Clone()
	require.NoError(t, err)
	require.NoError(t, readOnly.Close())
	d.objects.Frontends = readOnly // which refuses all, as it is closed
	_, err = d.Update("default/s00001", oneService(1, 3))
	require.ErrorContains(t, err, "update service default/s00001: put frontends ")
	d.objects.Frontends = frontends

	n, err := d.Update("default/s00002", oneService(2, 3))
	require.NoError(t, err)
	assert.NotZero(t, n.Changed)
	state.Tables = manyServices(3, 2)
	k := kernelOf(t, d)
	for key := range k.frontends {
		_, err := k.view(key)
		require.NoError(t, err)
	}
	assert.Equal(t, 7, len(k.serialsOf()), "the backend of what failed is free again")
	n, err = d.again().Apply(state)
	require.NoError(t, err)
	assert.Equal(t, Result{Changed: 1 + 2 + 1}, n, "s00002 has one backend less: a table, frontends, the backend")
}

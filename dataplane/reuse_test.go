package dataplane

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/dataplane/services/servicestest"
	"github.com/dsrlab/dsrlab/dataplane/tables"
)

// TestRowsRest: what was freed is used again only after a second, waited for if need be.
func TestRowsRest(t *testing.T) {
	sizes := fewEntries
	sizes.Slots = 3 // three lists
	d := newMaps(t, sizes)
	clock := &stoppedClock{at: time.Unix(1, 0)}
	d.clock = clock
	_, err := d.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: servicestest.Many(1, 1)})
	require.NoError(t, err)
	for i, slept := range []time.Duration{0, 0, tables.QuarantineTime, tables.QuarantineTime, 2 * tables.QuarantineTime} {
		_, err = d.Update("default/s00000", servicestest.One(0, 1+(i+1)%2))
		require.NoError(t, err)
		assert.Equal(t, slept, clock.slept, "update %d", i)
	}
	clock.at = clock.at.Add(2 * tables.QuarantineTime)
	_, err = d.Update("default/s00000", servicestest.One(0, 1))
	require.NoError(t, err)
	assert.Equal(t, 2*tables.QuarantineTime, clock.slept, "there was time enough")
}

// TestSerials: a number that goes to another backend gets another serial, after a restart too.
func TestSerials(t *testing.T) {
	sizes := fewEntries
	sizes.Backends = 2 // one, as 0 is none
	d := newMaps(t, sizes)
	d.clock = &stoppedClock{at: time.Unix(1, 0)}
	seen := make(map[uint32]bool)
	for i := range 8 {
		one := servicestest.One(0, 1)
		one.Backends[0].Port = uint16(1000 + i)
		_, err := d.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: &services.Tables{}})
		require.NoError(t, err)
		if i%2 == 0 {
			d = d.again()
		}
		_, err = d.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: one})
		require.NoError(t, err)
		var b bpf.DatapathBackend
		require.NoError(t, d.objects.Backends.Lookup(uint32(1), &b))
		assert.NotZero(t, b.Serial)
		assert.False(t, seen[b.Serial], "serial %d is used again", b.Serial)
		seen[b.Serial] = true
	}
}

// TestDrainingIsSaidByAll: a backend that drains keeps its number and serial, and leaves the tables; the last to say so decides.
func TestDrainingIsSaidByAll(t *testing.T) {
	d := newMaps(t, fewEntries)
	tables := servicestest.Many(2, 2)
	tables.Backends[3] = tables.Backends[1] // both services have it
	tables.Frontends = slices.Concat(tables.Frontends[:2], tables.Frontends[2:])
	tables.Backends = tables.Backends[:3]
	for i := range tables.Frontends {
		for j, b := range tables.Frontends[i].Backends {
			if b == 3 {
				tables.Frontends[i].Backends[j] = 1
			}
		}
	}
	_, err := d.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: tables})
	require.NoError(t, err)
	state := func() (state string, serial uint32) {
		list, err := d.Backends()
		require.NoError(t, err)
		for _, b := range list {
			if b.Address.Addr() == tables.Backends[1].Address {
				return b.State, b.Serial
			}
		}
		return "gone", 0
	}
	before, serial := state()
	assert.Equal(t, "active", before)
	for i, want := range []string{"active", "draining"} {
		name := fmt.Sprintf("default/s%05d", i)
		part := servicestest.Of(name, tables)
		for b := range part.Backends {
			if part.Backends[b].Address == tables.Backends[1].Address {
				part.Backends[b].Draining = true
				for f := range part.Frontends {
					part.Frontends[f].Backends = slices.DeleteFunc(part.Frontends[f].Backends, func(n int) bool { return n == b })
				}
			}
		}
		_, err := d.Update(name, part)
		require.NoError(t, err)
		now, same := state()
		assert.Equal(t, want, now)
		assert.Equal(t, serial, same)
	}
	for i := range 2 {
		_, err := d.Update(fmt.Sprintf("default/s%05d", i), nil)
		require.NoError(t, err)
	}
	gone, _ := state()
	assert.Equal(t, "gone", gone)
}

// TestDrainingOfNobody: a backend that no frontend selects goes when its service says so.
func TestDrainingOfNobody(t *testing.T) {
	d := newMaps(t, fewEntries)
	tables := servicestest.One(0, 2)
	tables.Backends[1].Draining = true
	for i := range tables.Frontends {
		tables.Frontends[i].Backends = []int{0}
	}
	_, err := d.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: tables})
	require.NoError(t, err)
	n, err := d.Update("default/s00000", tables)
	require.NoError(t, err)
	assert.Zero(t, n.Changed)
	n, err = d.Update("default/s00000", servicestest.One(0, 1))
	require.NoError(t, err)
	assert.Equal(t, 1, n.Changed, "the backend is freed")
}

// TestAffinityEnds: clients don't go on to a backend that the service no longer selects, nor to that of a service that had the
// number before.
func TestAffinityEnds(t *testing.T) {
	d := newMaps(t, fewEntries)
	tables := servicestest.Many(2, 2)
	for i := range tables.Frontends {
		tables.Frontends[i].Affinity = time.Hour
		tables.Frontends[i].Backends = []int{0, 1} // both have the same
	}
	tables.Backends = tables.Backends[:2]
	_, err := d.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: tables})
	require.NoError(t, err)
	k := contentsOf(t, d)
	numbers := k.numbersOf()
	key := func(service int) bpf.DatapathAffinityKey {
		return bpf.DatapathAffinityKey{Client: bpf.WireAddress(netip.MustParseAddr("203.0.113.1")), Service: numbers[fmt.Sprintf("default/s%05d:http/TCP", service)]}
	}
	for number := uint32(1); number <= 2; number++ {
		for service := range 2 {
			clientOf := key(service)
			clientOf.Client.Word[3] += number << 24
			require.NoError(t, d.objects.Affinities.Put(clientOf, bpf.DatapathAffinity{Backend: number, Serial: k.backends[number].Serial}))
		}
	}
	less := servicestest.Of("default/s00000", tables)
	for i := range less.Frontends {
		less.Frontends[i].Backends = []int{0}
	}
	less.Backends = less.Backends[:1]
	_, err = d.Update("default/s00000", less)
	require.NoError(t, err)
	left := func() (all []string) {
		require.NoError(t, readEntries(d.objects.Affinities, func(k bpf.DatapathAffinityKey, v bpf.DatapathAffinity) {
			all = append(all, fmt.Sprintf("service %d backend %d", k.Service, v.Backend))
		}))
		slices.Sort(all)
		return all
	}
	one, two := key(0).Service, key(1).Service
	assert.Equal(t, []string{fmt.Sprintf("service %d backend 1", one), fmt.Sprintf("service %d backend 1", two),
		fmt.Sprintf("service %d backend 2", two)}, left())

	d = d.again() // which finds the number free at once
	_, err = d.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: servicestest.Of("default/s00001", tables)})
	require.NoError(t, err)
	d = d.again()
	next := servicestest.One(2, 2)
	next.Frontends[0].Affinity = time.Minute
	both := servicestest.Of("default/s00001", tables)
	for i := range next.Frontends {
		next.Frontends[i].Backends = []int{2, 3}
	}
	both.Frontends, both.Backends = append(both.Frontends, next.Frontends...), append(both.Backends, next.Backends...)
	_, err = d.Apply(State{Node: servicestest.NodeName(0), Nodes: nodesOf(2), Tables: both})
	require.NoError(t, err)
	assert.Equal(t, one, contentsOf(t, d).numbersOf()["default/s00002:http/TCP"], "the number is used again")
	assert.Equal(t, []string{fmt.Sprintf("service %d backend 1", two), fmt.Sprintf("service %d backend 2", two)}, left())
}

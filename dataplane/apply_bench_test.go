package dataplane

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane/services"
	"github.com/dsrlab/dsrlab/dataplane/services/servicestest"
)

// manyEntries hold ten thousand services of ten backends, and what changes among them within a second.
var manyEntries = Sizes{
	Services: 16384, Frontends: 65536, Slots: 1 << 15, Backends: 1 << 18, LocalBackends: 4096, Pods: 1024, Nodes: 1024, Cluster: 1024,
	Ranges: 1024, Flows: 1024, FlowsUnconfirmed: 1024, SNATPorts: 1024, SNATPortsUnconfirmed: 1024, Replies: 1024, RepliesUnconfirmed: 1024,
	Affinities: 1024, Fragments: 1024, Events: 1 << 9, Hops: 1 << 16,
}

// BenchmarkApply10k fills empty maps with 10,000 services of 10 backends each.
func BenchmarkApply10k(b *testing.B) {
	state := State{Node: servicestest.NodeName(0), Nodes: nodesOf(16), Tables: servicestest.Many(10000, 10)}
	for b.Loop() {
		b.StopTimer()
		d := newMaps(b, manyEntries)
		b.StartTimer()
		n, err := d.Apply(state)
		require.NoError(b, err)
		b.ReportMetric(float64(n.Changed), "changes/op")
	}
}

// BenchmarkRestart10k reads them back, and finds that nothing is to be done.
func BenchmarkRestart10k(b *testing.B) {
	state := State{Node: servicestest.NodeName(0), Nodes: nodesOf(16), Tables: servicestest.Many(10000, 10)}
	d := newMaps(b, manyEntries)
	_, err := d.Apply(state)
	require.NoError(b, err)
	for b.Loop() {
		n, err := d.again().Apply(state)
		require.NoError(b, err)
		require.Zero(b, n.Changed)
	}
}

// BenchmarkUpdateOne changes one of them: one backend comes, or goes again.
func BenchmarkUpdateOne(b *testing.B) {
	state := State{Node: servicestest.NodeName(0), Nodes: nodesOf(16), Tables: servicestest.Many(10000, 10)}
	d := newMaps(b, manyEntries)
	_, err := d.Apply(state)
	require.NoError(b, err)
	forms := []*services.Tables{servicestest.One(5000, 11), servicestest.One(5000, 10)}
	i := 0
	for b.Loop() {
		n, err := d.Update("default/s05000", forms[i%2])
		require.NoError(b, err)
		require.NotZero(b, n.Changed)
		i++
	}
}

// BenchmarkApplyOne makes the same change by Apply, which looks at all of them and writes what differs.
func BenchmarkApplyOne(b *testing.B) {
	many := servicestest.Many(10000, 10)
	state := State{Node: servicestest.NodeName(0), Nodes: nodesOf(16), Tables: many}
	d := newMaps(b, manyEntries)
	_, err := d.Apply(state)
	require.NoError(b, err)
	drained := *many
	drained.Backends = slices.Clone(many.Backends)
	drained.Backends[50000].Draining = true
	forms := []*services.Tables{&drained, many}
	i := 0
	for b.Loop() {
		state.Tables = forms[i%2]
		n, err := d.Apply(state)
		require.NoError(b, err)
		require.NotZero(b, n.Changed)
		i++
	}
}

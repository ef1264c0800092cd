package observe

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/labs/labtest"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/labs/workload"
)

// watcher follows flows.
type watcher struct {
	flows chan Flow
	done  chan error
	stop  context.CancelFunc
}

func watch(t *testing.T, tb *testbed.Testbed, options Options) *watcher {
	ctx, stop := context.WithCancel(t.Context())
	w := &watcher{make(chan Flow, 4096), make(chan error, 1), stop}
	t.Cleanup(stop)
	ready := make(chan struct{})
	options.Follow, options.Ready = true, func() { close(ready) }
	go func() {
		_, err := Flows(ctx, tb, options, func(f Flow) error {
			w.flows <- f
			return nil
		})
		w.done <- err
	}()
	select {
	case <-ready:
	case err := <-w.done:
		require.NoError(t, err)
	}
	return w
}

// next is the next flow, which must come.
func (w *watcher) next(t *testing.T) Flow {
	t.Helper()
	select {
	case f := <-w.flows:
		return f
	case err := <-w.done:
		require.NoError(t, err)
		require.Fail(t, "ended")
	case <-time.After(labtest.Patience):
		require.Fail(t, "no flow came")
	}
	return Flow{}
}

// TestObserversSeeAll: two who follow, one of them with a filter, and those who look afterwards see the same flows, and these are those
// that the counters count.
func TestObserversSeeAll(t *testing.T) {
	tb := serving(t)
	require.NoError(t, tb.Install(t.Context(), dsr))
	labtest.Connect(t, tb, "client", workload.TCP, echoVIP, 5, labtest.Patience)
	everything := watch(t, tb, Options{Last: -1})
	first := everything.next(t)
	drops := watch(t, tb, Options{Filter: Filter{Verdict: "dropped", From: "client"}})

	const refused = 30
	report, err := workload.Connect(t.Context(), workload.ConnectOptions{
		Dialer: tb.Dialer("client"), Protocol: workload.UDP, Target: netip.AddrPortFrom(echoVIP.Addr(), 9), Count: refused, Concurrency: refused, Timeout: time.Second / 2,
	})
	require.NoError(t, err)
	require.Zero(t, report.Outcomes[workload.OutcomeOK])
	counted := labtest.Count(t, tb, "no-frontend")
	require.NotZero(t, counted)
	for range counted {
		assert.Equal(t, "no-frontend", drops.next(t).Reason)
	}
	first.Time = time.Time{}
	seen := []Flow{first}
	for dropped := uint64(0); dropped < counted; {
		f := everything.next(t)
		f.Time = time.Time{}
		seen = append(seen, f)
		if f.Reason == "no-frontend" {
			dropped++
		}
	}
	later := func(options Options) (flows []Flow) {
		lost, err := Flows(t.Context(), tb, options, func(f Flow) error {
			f.Time = time.Time{} // which readers know only to the microsecond
			flows = append(flows, f)
			return nil
		})
		require.NoError(t, err)
		require.Zero(t, lost)
		return flows
	}
	assert.Equal(t, seen[0], later(Options{Last: -1})[0])
	assert.Subset(t, later(Options{Last: -1}), seen)
	onlyDrops := Filter{Reason: "no-frontend"}
	all := later(Options{Filter: onlyDrops, Last: -1})
	assert.Len(t, all, int(counted))
	assert.Equal(t, all[len(all)-3:], later(Options{Filter: onlyDrops, Last: 3}))
	assert.Empty(t, later(Options{}))
}

// TestLatest: no more flows than asked for come, and the others are counted.
func TestLatest(t *testing.T) {
	tb := serving(t)
	require.NoError(t, tb.Install(t.Context(), dsr))
	observer := func() *Observer {
		o, err := NewObserver(tb)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, o.Close()) })
		return o
	}
	labtest.Connect(t, tb, "client", workload.TCP, echoVIP, 5, labtest.Patience)
	const most = 3
	var flows []Flow
	var left uint64
	require.Eventually(t, func() bool { // until the last packets have passed
		var err error
		flows, left, err = observer().Latest(most)
		require.NoError(t, err)
		all, err := observer().Flows(Filter{})
		require.NoError(t, err)
		return left > 0 && left+most == uint64(len(all))
	}, labtest.Patience, observeEvery)
	assert.Len(t, flows, most)

	o := observer()
	all, left, err := o.Latest(1 << 20)
	require.NoError(t, err)
	assert.Zero(t, left)
	assert.Greater(t, len(all), most)
	o.Skip()
	flows, left, err = o.Latest(most)
	require.NoError(t, err)
	assert.Empty(t, flows)
	assert.Zero(t, left, "passed over on purpose")
}

// TestObserveNodeReplaced: where one node's data path is replaced, it is followed there, and no flow of the other nodes comes again.
func TestObserveNodeReplaced(t *testing.T) {
	tb := serving(t)
	require.NoError(t, tb.Install(t.Context(), dsr))
	w := watch(t, tb, Options{})
	labtest.Connect(t, tb, "client", workload.TCP, echoVIP, 1, labtest.Patience)
	first := w.next(t)
	for first.Reason != "to-overlay-dsr" {
		first = w.next(t)
	}
	dir, err := tb.Network().BPFDir("worker")
	require.NoError(t, err)
	require.NoError(t, tb.Network().Do("worker", func() error { return dataplane.Unload(dir) }))
	require.NoError(t, tb.Install(t.Context(), dsr))
	labtest.Connect(t, tb, "client", workload.TCP, echoVIP, 1, labtest.Patience)
	for atLB, atPod := false, false; !atLB || !atPod; {
		f := w.next(t)
		require.False(t, f.Node == first.Node && f.Source == first.Source && f.TCPFlags == first.TCPFlags, "again: %v", f)
		other := f.Source.Address != first.Source.Address
		atLB = atLB || other && f.Reason == "to-overlay-dsr"
		atPod = atPod || other && f.Reason == "from-overlay"
	}
}

// TestObserveReplaced: who follows goes on over the data path that replaces this one, and is told when the testbed is taken down.
func TestObserveReplaced(t *testing.T) {
	tb := serving(t)
	require.NoError(t, tb.Install(t.Context(), dsr))
	w := watch(t, tb, Options{})
	for _, node := range tb.ClusterNodes() {
		dir, err := tb.Network().BPFDir(node.Name)
		require.NoError(t, err)
		require.NoError(t, tb.Network().Do(node.Name, func() error { return dataplane.Unload(dir) }))
	}
	require.NoError(t, tb.Install(t.Context(), dsr))
	labtest.Connect(t, tb, "client", workload.TCP, echoVIP, 1, labtest.Patience)
	for w.next(t).Reason != "to-overlay-dsr" { // nodes are read in turn: the pod node's flow may come first
	}

	require.NoError(t, tb.Down(t.Context()))
	for {
		select {
		case <-w.flows:
			continue
		case err := <-w.done:
			assert.EqualError(t, err, "observe: testbed "+tb.Network().Name()+" was taken down")
		case <-time.After(labtest.Patience):
			require.Fail(t, "it goes on")
		}
		return
	}
}

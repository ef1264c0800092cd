package remote

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// A machine that nodes see by another address, or not at all, can't be the client: what would be found is the way to it, and not the
// cluster's network.
func TestOpenOutOfReach(t *testing.T) {
	for want, change := range map[string]func(*agents){
		"nodes see this machine as 198.51.100.7 and not as 192.0.2.2: a translator stands between, and what they send to it would not arrive " +
			"(run it where the nodes' addresses can be reached without translation: 10.1.0.1, 10.1.0.2)": func(a *agents) { a.translated = netip.MustParseAddr("198.51.100.7") },
		"nothing that this machine sends reaches a node (run it where": func(a *agents) { a.unreached = true },
	} {
		client, all := fakeCluster(nothing), newAgents()
		change(all)
		o, _ := options(client, all)
		_, err := Open(t.Context(), o)
		require.ErrorContains(t, err, want)
		assert.ErrorAs(t, err, new(*LackingError))
		assertClean(t, client)
	}
}

// Sightings that come while the probes are made up, of whatever else the agents see, disturb nothing (go test -race).
func TestReachWhileOthersProbe(t *testing.T) {
	client, all := fakeCluster(nothing), newAgents()
	o, _ := options(client, all)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			all.mu.Lock()
			see := all.nodes[netip.MustParseAddr("10.1.0.1")]
			all.mu.Unlock()
			if see != nil {
				see(probe.Sighting{ID: 1, Level: probe.LevelDevice})
			}
		}
	}()
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	close(stop)
	<-ended
	require.NoError(t, s.Close(t.Context()))
}

// One node that sees this machine by its own address is enough.
func TestReach(t *testing.T) {
	own, other := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.7")
	source := map[uint32]netip.Addr{1: own, 2: own, 3: own}
	r := &reach{sent: map[uint32]netip.Addr{1: own, 2: own, 3: own}, seen: map[uint32]netip.Addr{}, all: make(chan struct{})}
	see := func(id uint32, level probe.Level, from netip.Addr) {
		r.see(probe.Sighting{ID: id, Level: level, Source: netip.AddrPortFrom(from, 1)})
	}
	see(1, probe.LevelDevice, other)
	see(4, probe.LevelDevice, own)
	see(2, probe.LevelSocket, own)
	require.ErrorContains(t, r.judge(source, nil, "x"), "nodes see this machine as")
	see(2, probe.LevelDevice, own)
	require.NoError(t, r.judge(source, nil, "x"))
	select {
	case <-r.all:
		t.Error("not all were seen")
	default:
	}
	see(3, probe.LevelDevice, own)
	<-r.all
	see(3, probe.LevelDevice, own)
}

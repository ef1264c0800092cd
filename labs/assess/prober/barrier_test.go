package prober

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	diagnosis "github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// stalled is a station whose words are held up on their way: nothing that it sees is told before it has to answer a request.
type stalled struct {
	Station
	mu   sync.Mutex
	held []probe.Sighting
	see  func(probe.Sighting)
	mute bool // it does not answer any more
}

func (s *stalled) Guard(ctx context.Context, ports ...uint16) error {
	s.mu.Lock()
	held := s.held
	s.held = nil
	mute := s.mute && len(ports) == 0
	s.mu.Unlock()
	if mute {
		return errors.New("no answer")
	}
	for _, one := range held {
		s.see(one)
	}
	return s.Station.Guard(ctx, ports...)
}

// stall lets a machine be stalled.
func stall(m *Machine, mute bool) {
	open := m.Open
	m.Open = func(ctx context.Context, see func(probe.Sighting)) (Station, error) {
		s := &stalled{see: see, mute: mute}
		var err error
		s.Station, err = open(ctx, func(one probe.Sighting) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.held = append(s.held, one)
		})
		return s, err
	}
}

// What a station tells late was not lost, however short the patience is.
func TestObserveStationThatTellsLate(t *testing.T) {
	observe := func(late ...int) *diagnosis.Observations {
		_, site := newModel("a", "b", "c")
		all := []*Machine{&site.Client, &site.Nodes[0], &site.Nodes[1], &site.Nodes[2]}
		for _, i := range late {
			stall(all[i], false)
		}
		o, err := Observe(t.Context(), site, Options{Idle: time.Millisecond, Patience: 4 * time.Millisecond})
		require.NoError(t, err)
		return o
	}
	prompt := observe()
	require.Equal(t, diagnosis.Works, diagnosis.Diagnose(*prompt).Verdict)
	for name, late := range map[string][]int{"client": {0}, "node": {2}, "all": {0, 1, 2, 3}} {
		t.Run(name, func(t *testing.T) {
			o := observe(late...)
			assert.Equal(t, prompt.Spoof, o.Spoof)
			assert.Equal(t, prompt.Direct, o.Direct)
			assert.Equal(t, prompt.Tunnel, o.Tunnel)
			assert.Equal(t, prompt.WayIn, o.WayIn)
			assert.Equal(t, prompt.WayBack, o.WayBack)
		})
	}
}

// Where a station does not say what it has seen nothing is known, and nothing is said to be lost.
func TestObserveStationThatDoesNotTell(t *testing.T) {
	_, site := newModel("a", "b")
	stall(&site.Nodes[1], true)
	o, err := Observe(t.Context(), site, Options{Idle: NoIdle, Patience: 4 * time.Millisecond})
	require.ErrorContains(t, err, "b: ask what it has seen: no answer")
	assert.Nil(t, o)
}

// slow is a station that ends late, or had ended.
type slow struct {
	Station
	err    error
	others *sync.WaitGroup // whose end it waits for
}

func (s *slow) Close() error {
	s.others.Done()
	s.others.Wait()
	return errors.Join(s.err, s.Station.Close())
}

// All stations are closed at once. That one is late does not spoil what was seen; that it had ended midway does.
func TestObserveStationThatEndsLate(t *testing.T) {
	for _, err := range []error{fmt.Errorf("%w within 1s", probe.ErrNotEnded), probe.ErrEnded} {
		_, site := newModel("a", "b")
		var others sync.WaitGroup
		for i := range site.Nodes {
			open := site.Nodes[i].Open
			others.Add(1)
			site.Nodes[i].Open = func(ctx context.Context, see func(probe.Sighting)) (Station, error) {
				station, openErr := open(ctx, see)
				return &slow{station, err, &others}, openErr
			}
		}
		o, got := Observe(t.Context(), site, Options{Idle: NoIdle, Patience: 4 * time.Millisecond})
		if errors.Is(err, probe.ErrEnded) {
			require.ErrorIs(t, got, err)
			assert.Nil(t, o)
			continue
		}
		require.NoError(t, got)
		assert.Equal(t, diagnosis.Works, diagnosis.Diagnose(*o).Verdict)
		assert.Contains(t, o.Unread, diagnosis.Unread{Node: "b", What: "the end of what probes there", Why: "the probe agent has not ended within 1s"})
	}
}

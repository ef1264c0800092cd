package dataplane

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
	"github.com/dsrlab/dsrlab/dataplane/services"
)

// newReader reads from the oldest event on.
func newReader(t testing.TB, d *DataPath) *EventReader {
	t.Helper()
	r, err := d.NewEventReader()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// readEvents are those since the reader's last call, none of which may be lost.
func readEvents(t testing.TB, r *EventReader) []Event {
	t.Helper()
	events, lost := readSome(t, r)
	require.Zero(t, lost)
	return events
}

func readSome(t testing.TB, r *EventReader) (events []Event, lost uint64) {
	t.Helper()
	lost, err := r.Read(func(e Event) error {
		events = append(events, e)
		return nil
	})
	require.NoError(t, err)
	return events, lost
}

// putEvents writes events as the programs do, each with its number as its size.
func (d *DataPath) putEvents(t testing.TB, numbers ...uint64) {
	t.Helper()
	for _, n := range numbers {
		slot := bpf.DatapathEventSlot{Sequence: n + 1, Event: bpf.DatapathEvent{Bytes: uint32(n)}}
		require.NoError(t, d.objects.Events.Put(uint32(n)%d.objects.Events.MaxEntries(), slot))
		require.NoError(t, d.objects.EventCount.Put(uint32(0), n+1))
	}
}

func sizesOf(events []Event) (sizes []int) {
	for _, e := range events {
		sizes = append(sizes, int(e.Bytes))
	}
	return sizes
}

// TestReadersSeeAll: readers take nothing from each other, one that comes later sees what was before, and one that skips sees only what
// comes afterwards.
func TestReadersSeeAll(t *testing.T) {
	w := worlds()[0]
	d := w.lb(t, services.ModeDSR)
	first, skips := newReader(t, d), newReader(t, d)
	require.Empty(t, readEvents(t, first))
	d.send(t, FromNetwork, w.syn(portEcho).frame(t))
	skips.Skip()
	require.Len(t, readEvents(t, first), 1)
	d.send(t, FromNetwork, w.syn(1).frame(t))
	for name, r := range map[string]*EventReader{"the first": first, "the one that skipped": skips} {
		events := readEvents(t, r)
		require.Len(t, events, 1, name)
		assert.Equal(t, bpf.DatapathReasonREASON_DROP_NO_FRONTEND, events[0].Reason, name)
		require.Empty(t, readEvents(t, r), name)
	}
	assert.Len(t, readEvents(t, newReader(t, d)), 2, "what was read is still there")
}

// TestNewestEventsStay: when nobody reads, the newest events are kept, and a reader is told how many it missed.
func TestNewestEventsStay(t *testing.T) {
	w := worlds()[0]
	d := w.lb(t, services.ModeDSR, func(c *Config) { c.Sizes.Events = 64 })
	early := newReader(t, d)
	dropped, last := w.syn(1).frame(t), w.syn(portEcho).frame(t)
	for range 99 {
		d.send(t, FromNetwork, dropped)
	}
	d.send(t, FromNetwork, last)
	events, lost := readSome(t, early)
	assert.EqualValues(t, 36, lost)
	require.Len(t, events, 64)
	assert.Equal(t, bpf.DatapathReasonREASON_TO_OVERLAY_DSR, events[63].Reason)
	late := readEvents(t, newReader(t, d))
	for i := range late {
		assert.WithinDuration(t, events[i].Time, late[i].Time, time.Second)
		late[i].Time = events[i].Time
	}
	assert.Equal(t, events, late, "a late reader missed nothing: it begins with what is kept")
}

// TestEventsOutOfOrder: what was overwritten, or never written, costs that event alone.
func TestEventsOutOfOrder(t *testing.T) {
	d := newMaps(t, fewEntries)
	r := newReader(t, d)
	d.putEvents(t, 0, 1, 3, 4) // another CPU has the slot of the third for too long
	events, lost := readSome(t, r)
	assert.Equal(t, []int{0, 1, 3, 4}, sizesOf(events))
	assert.EqualValues(t, 1, lost)

	kept := uint64(fewEntries.Events)
	d.putEvents(t, 5, 6)
	d.putEvents(t, 5+kept) // overwrites the first of them
	require.NoError(t, d.objects.EventCount.Put(uint32(0), uint64(7)))
	events, lost = readSome(t, r)
	assert.Equal(t, []int{6}, sizesOf(events))
	assert.EqualValues(t, 1, lost)
}

// TestReadWhileWriting: no reader ever gets half of an event, and each event is read or counted as lost.
func TestReadWhileWriting(t *testing.T) {
	w := worlds()[0]
	d := w.lb(t, services.ModeDSR, func(c *Config) { c.Sizes.Events = 64 })
	readers := []*EventReader{newReader(t, d), newReader(t, d)}
	frames := [][]byte{w.syn(1).frame(t), w.syn(portEcho).frame(t)}
	const each = 5000
	var writers sync.WaitGroup
	for _, frame := range frames {
		copy(frame, nodeMAC)
		writers.Go(func() {
			_, _, err := d.objects.FromNetwork.Benchmark(frame, each, nil)
			assert.NoError(t, err)
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	seen := make([]uint64, len(readers))
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true // and once more, for what came last
		default:
		}
		for i, r := range readers {
			events, lost := readSome(t, r)
			seen[i] += uint64(len(events)) + lost
			for _, e := range events {
				want := uint16(1)
				if e.Reason == bpf.DatapathReasonREASON_TO_OVERLAY_DSR {
					want = portEcho
				}
				require.Equal(t, want, e.Destination.Port())
				require.Equal(t, e.Reason == bpf.DatapathReasonREASON_DROP_NO_FRONTEND, !e.Backend.IsValid())
			}
		}
	}
	var count uint64
	require.NoError(t, d.objects.EventCount.Lookup(uint32(0), &count))
	for _, n := range seen {
		assert.Equal(t, count, n)
	}
}

// TestTimeOfEvents: an event's time is that of the kernel's last tick, or to the nanosecond where that is asked for.
func TestTimeOfEvents(t *testing.T) {
	w := worlds()[0]
	for _, c := range []struct {
		name    string
		precise bool
		clock   int32
	}{{"tick", false, unix.CLOCK_MONOTONIC_COARSE}, {"nanosecond", true, unix.CLOCK_MONOTONIC}} {
		t.Run(c.name, func(t *testing.T) {
			d := w.lb(t, services.ModeDSR, func(config *Config) { config.PreciseEvents = c.precise })
			now := func() uint64 {
				var ts unix.Timespec
				require.NoError(t, unix.ClockGettime(c.clock, &ts))
				return uint64(ts.Nano())
			}
			frame := w.syn(portEcho).frame(t)
			before := now()
			d.send(t, FromNetwork, frame)
			after := now()
			var slot bpf.DatapathEventSlot
			require.NoError(t, d.objects.Events.Lookup(uint32(0), &slot))
			assert.GreaterOrEqual(t, slot.Event.Time, before)
			assert.LessOrEqual(t, slot.Event.Time, after)
		})
	}
}

// TestCountersAndEventsAgree: of what is always reported, drops and the first packets of flows, there are as many events as the counters say.
func TestCountersAndEventsAgree(t *testing.T) {
	names, err := LoadNames()
	require.NoError(t, err)
	for _, w := range worlds() {
		t.Run(w.name, func(t *testing.T) {
			d := w.lb(t, services.ModeDSR)
			r := newReader(t, d)
			before := d.counts(t)
			for _, frame := range w.seeds(t) {
				d.send(t, FromNetwork, frame)
				d.send(t, FromPod, frame)
			}
			reported := make(map[string]uint64)
			for _, e := range readEvents(t, r) {
				reported[names.Reason(e.Reason)]++
			}
			after := d.counts(t)
			drops := 0
			for _, reason := range names.Reasons() {
				name := names.Reason(reason)
				if counted := after[name] - before[name]; IsDrop(reason) {
					assert.Equal(t, counted, reported[name], name)
					drops += int(counted)
				} else {
					assert.LessOrEqual(t, reported[name], counted, name)
				}
			}
			assert.Positive(t, drops)
		})
	}
}

// TestSkipTo checks that the newest events are left, as many as asked for, and the others counted.
func TestSkipTo(t *testing.T) {
	var written uint64 = 10
	r := EventReader{count: &written, next: 2}
	assert.EqualValues(t, 5, r.SkipTo(3))
	assert.EqualValues(t, 7, r.next)
	assert.Zero(t, r.SkipTo(3), "there are no more than these")
	assert.Zero(t, r.SkipTo(100))
	assert.EqualValues(t, 7, r.next)
	written = 11
	assert.EqualValues(t, 1, r.SkipTo(3))
	r.Skip()
	assert.EqualValues(t, 11, r.next)
}

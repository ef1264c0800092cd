package dataplane

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// EventReader reads the flow events of a node. Any number of them can read at once: each sees all events, at its own pace.
//
// The programs write events into an array of slots, the newest over the oldest, and readers map that array into their memory. So no
// process has to hold the events for others, reading takes nothing away from other readers, and nobody who reads slowly, or not at
// all, keeps newer events out. A BPF ring buffer has one consumer, and refuses new records while nobody consumes (the mode that
// overwrites came with Linux 6.19); with one for each reader the programs would have to write every event several times. Here the
// programs do three atomic operations for an event, where a ring buffer takes a lock. What is lost is the wakeup: readers poll, which
// costs one load from memory a time.
//
// It isn't safe for concurrent use.
type EventReader struct {
	decoder *eventDecoder
	count   *uint64 // mapped: how many events there have been
	slots   []byte  // mapped: struct event_slot, a power of two of them
	memory  [][]byte
	next    uint64 // number of the event that is to be read next
}

// eventWriting is EVENT_WRITING of bpf/events.h.
const eventWriting = math.MaxUint64

const slotBytes = int(unsafe.Sizeof(bpf.DatapathEventSlot{}))

// NewEventReader returns a reader that begins with the oldest event that is kept. The caller closes it before the data path.
func (d *DataPath) NewEventReader() (*EventReader, error) {
	decoder, err := d.newEventDecoder()
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	r := &EventReader{decoder: decoder}
	count, err := r.mapMemory(d.objects.EventCount)
	if err == nil {
		r.slots, err = r.mapMemory(d.objects.Events)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read events: %w", err), r.Close())
	}
	r.count = (*uint64)(unsafe.Pointer(&count[0]))
	if written, kept := atomic.LoadUint64(r.count), r.kept(); written > kept {
		r.next = written - kept
	}
	return r, nil
}

// mapMemory maps the values of an array into this process's memory, until Close.
func (r *EventReader) mapMemory(m *ebpf.Map) ([]byte, error) {
	size := int(m.MaxEntries()) * int(m.ValueSize())
	memory, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %v into memory: %w", m, err)
	}
	r.memory = append(r.memory, memory)
	return memory, nil
}

// Close releases the memory.
func (r *EventReader) Close() error {
	var errs []error
	for _, memory := range r.memory {
		errs = append(errs, unix.Munmap(memory))
	}
	r.memory, r.slots, r.count = nil, nil, nil
	return errors.Join(errs...)
}

// kept is how many events the slots hold.
func (r *EventReader) kept() uint64 { return uint64(len(r.slots) / slotBytes) }

// Skip passes over all events up to now.
func (r *EventReader) Skip() { r.SkipTo(0) }

// SkipTo passes over all events up to now except the newest last ones, and returns how many it has passed over: a read after it takes a
// bounded time, however many events there are.
func (r *EventReader) SkipTo(last uint64) (skipped uint64) {
	if written := atomic.LoadUint64(r.count); written-r.next > last {
		skipped = written - r.next - last
		r.next = written - last
	}
	return skipped
}

// Read hands the events that there are since the last call to handle, the oldest first, and returns how many of them are lost: they were
// overwritten before they could be read, or never written since all slots were taken by newer ones.
func (r *EventReader) Read(handle func(Event) error) (lost uint64, err error) {
	for end := atomic.LoadUint64(r.count); r.next < end; {
		written := atomic.LoadUint64(r.count)
		if oldest := written - min(r.kept(), written); r.next < oldest {
			lost += oldest - r.next
			r.next = oldest
			continue
		}
		raw, ok := r.await()
		r.next++
		if !ok {
			lost++
			continue
		}
		var e bpf.DatapathEvent
		if err := decode(raw, &e); err != nil {
			return lost, err
		}
		if err := handle(r.decoder.event(&e)); err != nil {
			return lost, err
		}
	}
	return lost, nil
}

// writingTime is far more than a program takes to write an event: what is not there by then, is lost.
const writingTime = 20 * time.Millisecond

// await is the next event, once it is written. It reports false if it is not there any more, or will not be.
func (r *EventReader) await() ([]byte, bool) {
	for began := time.Now(); ; time.Sleep(writingTime / 20) {
		sequence, raw := r.load()
		switch {
		case sequence == r.next+1:
			return raw, true
		case sequence > r.next+1 && sequence != eventWriting, time.Since(began) > writingTime:
			return nil, false
		}
	}
}

// load copies the slot of the next event. The sequence is eventWriting if the slot changed meanwhile.
func (r *EventReader) load() (sequence uint64, event []byte) {
	slot := r.slots[int(r.next%r.kept())*slotBytes:][:slotBytes]
	word := func(at int) uint64 { return atomic.LoadUint64((*uint64)(unsafe.Pointer(&slot[at]))) } // each after the one before it
	sequence = word(0)
	event = make([]byte, 0, slotBytes)
	for at := 8; at < slotBytes; at += 8 {
		event = binary.NativeEndian.AppendUint64(event, word(at))
	}
	if word(0) != sequence {
		return eventWriting, nil
	}
	return sequence, event
}

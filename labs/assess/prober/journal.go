package prober

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/assess"
	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// journal holds all that stations have seen.
type journal struct {
	mu      sync.Mutex
	seen    map[uint32][]entry
	changed chan struct{} // closed when there is more
	next    uint32
}

// entry is what a station has seen.
type entry struct {
	station string
	probe.Sighting
}

func newJournal() *journal {
	return &journal{seen: make(map[uint32][]entry), changed: make(chan struct{}), next: rand.Uint32()}
}

// newID returns the ID of a probe. The one that follows it is free, too: that of the TCP segment which follows a SYN.
func (j *journal) newID() uint32 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next += 2
	return j.next
}

func (j *journal) add(station string, s probe.Sighting) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seen[s.ID] = append(j.seen[s.ID], entry{station, s})
	close(j.changed)
	j.changed = make(chan struct{})
}

// of returns what was seen of a probe so far.
func (j *journal) of(id uint32) []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.seen[id])
}

// wait waits until a condition is true, for as long as it may take at most, and reports whether it became true.
func (j *journal) wait(ctx context.Context, most time.Duration, condition func() bool) bool {
	late := time.NewTimer(most)
	defer late.Stop()
	for {
		j.mu.Lock()
		changed := j.changed
		j.mu.Unlock()
		if condition() {
			return true
		}
		select {
		case <-changed:
		case <-late.C:
			return condition()
		case <-ctx.Done():
			return false
		}
	}
}

// at returns the first sighting of a probe by a station at a level, other than returned by a router; nil if it has none.
func (j *journal) at(id uint32, station string, level probe.Level) *entry {
	for _, e := range j.of(id) {
		if e.station == station && e.Level == level && e.Reason == "" {
			return &e
		}
	}
	return nil
}

// count is how many of some probes a station has seen at a level.
func (j *journal) count(ids []uint32, station string, level probe.Level) int {
	n := 0
	for _, id := range ids {
		if j.at(id, station, level) != nil {
			n++
		}
	}
	return n
}

// corrupt is how many of some probes reached a device of a station, but not as they were sent.
func (j *journal) corrupt(ids []uint32, station string) int {
	n := 0
	for _, id := range ids {
		if e := j.at(id, station, probe.LevelDevice); e != nil && e.Corrupt {
			n++
		}
	}
	return n
}

// left is how many of some probes have left the station; nil if that is never seen there.
func (j *journal) left(ids []uint32, station string) *int {
	n := j.count(ids, station, probe.LevelLeft)
	return &n
}

// errors are the different ICMP errors that some probes caused, wherever they were received.
func (j *journal) errors(ids []uint32) []assess.ICMPError {
	var all []assess.ICMPError
	for _, id := range ids {
		for _, e := range j.of(id) {
			if e.Reason == "" {
				continue
			}
			one := assess.ICMPError{From: e.Router, Kind: kindOf(e.Reason), MTU: e.MTU}
			if e.Level == probe.LevelDevice && !slices.Contains(all, one) {
				all = append(all, one)
			}
		}
	}
	return all
}

func kindOf(r probe.Reason) assess.ICMPKind {
	switch r {
	case probe.ReasonExpired:
		return assess.TimeExceeded
	case probe.ReasonTooBig:
		return assess.TooBig
	case probe.ReasonProhibited:
		return assess.Prohibited
	}
	return assess.Unreachable
}

// flows is how many markers are sent: each from a port of its own, so that they are spread over queues and processors as the probes are.
const flows = 8

// firstMarker is the first of the markers' source ports.
const firstMarker = probe.FirstPort + 8

// link is the way from one machine to another, in an IP version.
type link struct {
	from, to string
	six      bool
}

// settle waits until what was sent from one machine to another before has either arrived or got lost: until markers that were sent after
// it have arrived. They are ordinary datagrams between the machines' own addresses.
func (ob *observer) settle(ctx context.Context, from, to *Machine, six bool) {
	source, destination := from.address(six), to.address(six)
	if !source.IsValid() || !destination.IsValid() {
		return
	}
	const most = 4
	way, tries := link{from.Name, to.Name, six}, most
	if ob.silent[way] {
		tries = 1
	}
	arrived := false
	for range tries {
		var ids []uint32
		var markers []probe.Probe
		for i := range uint16(flows) {
			id := ob.journal.newID()
			ids = append(ids, id)
			markers = append(markers, probe.Probe{ID: id, Kind: probe.KindUDP, Source: netip.AddrPortFrom(source, firstMarker+i),
				Destination: netip.AddrPortFrom(destination, probe.FirstPort)})
		}
		if ob.stations[from.Name].Send(ctx, markers...) != nil {
			return
		}
		// That they have left is known at the sender, whose socket may be read later.
		if ob.await(ctx, ob.Patience/most, []*Machine{from, to}, func() bool {
			return ob.journal.count(ids, to.Name, probe.LevelDevice) == flows && ob.journal.count(ids, from.Name, probe.LevelLeft) == flows
		}) {
			delete(ob.silent, way)
			return
		}
		arrived = arrived || ob.journal.count(ids, to.Name, probe.LevelDevice) > 0
	}
	if !arrived && !ob.silent[way] && ctx.Err() == nil {
		ob.silent[way] = true
		ob.OnStep(fmt.Sprintf("%s → %s: no datagram arrives, so the next waits are shorter", from.Name, to.Name))
	}
}

// rounds sends copies of probes from one machine to another, round by round, and waits after each until they have arrived or got lost;
// between machines where even markers get lost only after the last one. It returns the IDs of each probe's copies.
func (ob *observer) rounds(ctx context.Context, from, to *Machine, probes []probe.Probe) [][]uint32 {
	ids := make([][]uint32, len(probes))
	for round := range ob.Copies {
		sent := false
		for i := range probes {
			p := probes[i]
			p.ID = ob.journal.newID()
			if err := ob.stations[from.Name].Send(ctx, p); err != nil {
				ob.unread(from.Name, "probe to "+to.Name, err)
				continue
			}
			ids[i] = append(ids[i], p.ID)
			sent = true
		}
		if !sent {
			continue
		}
		if six := probes[0].Source.Addr().Is6(); round == ob.Copies-1 || !ob.silent[link{from.Name, to.Name, six}] {
			ob.settle(ctx, from, to, six)
		}
	}
	return ids
}

package tables

import (
	"time"

	"github.com/dsrlab/dsrlab/dataplane/bpf"
)

// Restorer makes a mirror of what maps hold already, so that numbers, and flows with them, go on. Its methods take one entry each, in
// any order; then Mirror returns the mirror.
type Restorer struct {
	mirror *Mirror
	freed  time.Time
	sets   map[bpf.DatapathBackendSet]bool // those that frontends have
	rows   []bpf.DatapathRow               // of all slots, nil before the first
	// How the entries of the arrays were found.
	portUse, backendUse, rowUse []entryUse
}

// NewRestorer returns a Restorer for maps of these capacities. freed is since when their free entries may have been free: they are in
// quarantine from then on.
func NewRestorer(c Capacities, freed time.Time) *Restorer {
	return &Restorer{
		mirror: newMirror(c), freed: freed, sets: make(map[bpf.DatapathBackendSet]bool),
		portUse: make([]entryUse, c[bpf.DatapathMapServiceNames]), backendUse: make([]entryUse, c[bpf.DatapathMapBackends]),
		rowUse: make([]entryUse, c[bpf.DatapathMapSlots]),
	}
}

// Pod takes an entry of pods.
func (r *Restorer) Pod(key bpf.DatapathAddress, value bpf.DatapathPod) {
	r.mirror.pods.restore(key, value)
}

// Node takes an entry of nodes.
func (r *Restorer) Node(key bpf.DatapathAddress, value bpf.DatapathNode) {
	r.mirror.nodes.restore(key, value)
}

// Cluster takes an entry of cluster.
func (r *Restorer) Cluster(key bpf.DatapathClusterKey, value uint8) {
	r.mirror.cluster.restore(key, value)
}

// LocalBackend takes an entry of local_backends.
func (r *Restorer) LocalBackend(key bpf.DatapathServiceKey, value bpf.DatapathPod) {
	r.mirror.local.restore(key, value)
}

// Range takes an entry of ranges.
func (r *Restorer) Range(key bpf.DatapathRangeKey, value uint8) {
	r.mirror.ranges.restore(key, value)
}

// Frontend takes an entry of frontends.
func (r *Restorer) Frontend(key bpf.DatapathServiceKey, value bpf.DatapathFrontend) {
	r.mirror.frontends.restore(key, value)
	r.sets[value.Outside], r.sets[value.Inside] = true, true
}

// ServiceName takes an entry of service_names. There is no telling which of the others were used before.
func (r *Restorer) ServiceName(number uint32, name bpf.DatapathServiceName) {
	if number == 0 {
		r.mirror.backends.reserved = parseReserved(name.String())
		return
	}
	r.mirror.ports.restore(number, name)
	if int(number) < len(r.portUse) {
		r.portUse[number] = inUse
	}
}

// NeverHadBackends reports whether, as frontends and service names say, backends and slots have always been empty: they need not be
// read.
func (r *Restorer) NeverHadBackends() bool {
	return r.mirror.backends.reserved == 0 && len(r.sets) == 0
}

// Backend takes an entry of backends.
func (r *Restorer) Backend(number uint32, value bpf.DatapathBackend) {
	switch {
	case number == 0 || value == bpf.DatapathBackend{}:
	case value.Serial == 0:
		r.backendUse[number] = wasUsed
	default:
		r.backendUse[number] = inUse
		r.mirror.backends.restore(number, value)
	}
}

// Row takes an entry of slots.
func (r *Restorer) Row(number uint32, row bpf.DatapathRow) {
	if r.rows == nil {
		r.rows = make([]bpf.DatapathRow, len(r.rowUse))
	}
	if row != (bpf.DatapathRow{}) {
		r.rows[number], r.rowUse[number] = row, wasUsed
	}
}

// Mirror returns the mirror. The first plan that it makes releases what of it is not desired any more.
func (r *Restorer) Mirror() *Mirror {
	m := r.mirror
	m.ports.numbers = restoreFreelist(1, r.portUse[1:], r.freed)
	m.backends.serial = max(m.backends.serial, m.backends.reserved)
	m.backends.numbers = restoreFreelist(1, r.backendUse[1:], r.freed)
	for set := range r.sets {
		r.restoreSet(set)
	}
	m.sets.rows = restoreFreelist(0, r.rowUse, r.freed)
	return m
}

func (r *Restorer) restoreSet(set bpf.DatapathBackendSet) {
	end := uint64(set.First) + uint64(bpf.RowsOf(set.Size))
	if set.Size == 0 || end > uint64(len(r.rows)) {
		return
	}
	for i := set.First; i < uint32(end); i++ {
		r.rowUse[i] = inUse
	}
	r.mirror.sets.restore(set, r.rows[set.First:end])
}

// entryUse is how an entry of an array was found.
type entryUse uint8

const (
	neverUsed entryUse = iota
	wasUsed            // not so long ago, perhaps
	inUse
)

// restoreFreelist is the freelist of an array's entries from first on, each with its use.
func restoreFreelist(first uint32, entries []entryUse, now time.Time) *freelist {
	s := &freelist{}
	for i := 0; i < len(entries); {
		n := i
		for n < len(entries) && entries[n] == entries[i] {
			n++
		}
		e := extent{first + uint32(i), uint32(n - i)}
		switch entries[i] {
		case neverUsed:
			s.available = append(s.available, e)
		case wasUsed:
			s.quarantine = append(s.quarantine, quarantined{e, now})
		}
		i = n
	}
	return s
}

package capture

// Decisions finds out which captured packets the data path's decisions are about. No decision names its packet, and packets may be the
// same in all that it says of them: a SYN that is sent again, or one that the data path let pass unreported. So it counts. Every decision
// is about one packet that was captured (netns.Commenter says why), and no packet has two. Hence, where as many decisions with a
// signature were read as packets with it were captured, each of these packets has one of these decisions; and if all of them say the
// same, that is what was decided about each. Everything else stays without a comment. Neither times nor likelihood play a part.
//
// It isn't safe for concurrent use.
type Decisions struct {
	packets []*packet // captured, and no comment returned on
	tallies map[Signature]*tally
	unclear map[pair][]*packet // which may have any signature of the pair
	failed  bool               // a count was impossible: nothing is commented on any more
}

// packet is a captured one.
type packet struct {
	comment string
	settled bool // no decision about it is unread
}

// tally is what there is with a signature since packets and decisions last matched.
type tally struct {
	packets   []*packet
	decisions int
	comment   string // of the first decision
	differ    bool   // others say something else
}

// NewDecisions returns one that knows of nothing yet.
func NewDecisions() *Decisions {
	return &Decisions{tallies: make(map[Signature]*tally), unclear: make(map[pair][]*packet)}
}

// Packet takes a captured frame that came in.
func (d *Decisions) Packet(place Place, frame []byte) {
	p := &packet{}
	d.packets = append(d.packets, p)
	if d.failed {
		return
	}
	all, unclear := signatures(place, frame)
	for _, s := range all {
		t := d.tally(s)
		t.packets = append(t.packets, p)
	}
	for _, u := range unclear {
		d.unclear[u] = append(d.unclear[u], p)
	}
}

// Decision takes a decision about a packet with a signature, as a comment. One without ports is about a packet in which the data path
// found none, though a frame may show some: it is passed over.
func (d *Decisions) Decision(s Signature, comment string) {
	if d.failed || s.Source.Port() == 0 && s.Destination.Port() == 0 {
		return
	}
	t := d.tally(s)
	if t.decisions == 0 {
		t.comment = comment
	}
	t.differ = t.differ || comment != t.comment
	t.decisions++
}

func (d *Decisions) tally(s Signature) *tally {
	t := d.tallies[s]
	if t == nil {
		t = &tally{}
		d.tallies[s] = t
	}
	return t
}

// Comments returns the comments on the first n packets that none were returned on, and forgets them. The caller knows that every decision
// about them was taken, and that every decision taken is about a packet that was taken.
func (d *Decisions) Comments(n int) []string {
	for _, p := range d.packets[:n] {
		p.settled = true
	}
	for s, t := range d.tallies {
		unclear := d.unclear[s.pair()]
		switch {
		case len(unclear) == 0 && t.decisions > len(t.packets):
			d.failed = true // what was relied upon does not hold
		case len(unclear) == 0 && t.decisions == len(t.packets):
			d.comment(t)
			delete(d.tallies, s)
		case allSettled(t.packets) && allSettled(unclear):
			delete(d.tallies, s) // some of them have no decision, and it is not known which
		}
	}
	d.forgetUnclear()
	comments := make([]string, n)
	for i, p := range d.packets[:n] {
		if !d.failed {
			comments[i] = p.comment
		}
	}
	if d.failed {
		clear(d.tallies)
		clear(d.unclear)
	}
	d.packets = append([]*packet(nil), d.packets[n:]...)
	return comments
}

// forgetUnclear forgets packets whose decisions are in no tally any more.
func (d *Decisions) forgetUnclear() {
	if len(d.unclear) == 0 {
		return
	}
	open := make(map[pair]bool)
	for s := range d.tallies {
		open[s.pair()] = true
	}
	for key, packets := range d.unclear {
		if !open[key] && allSettled(packets) {
			delete(d.unclear, key)
		}
	}
}

// comment notes what was decided about each packet of a tally that matches.
func (d *Decisions) comment(t *tally) {
	if t.differ {
		return
	}
	for _, p := range t.packets {
		if p.comment != "" { // two decisions
			d.failed = true
		}
		p.comment = t.comment
	}
}

func allSettled(packets []*packet) bool {
	for _, p := range packets {
		if !p.settled {
			return false
		}
	}
	return true
}

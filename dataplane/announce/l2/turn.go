package l2

import "github.com/dsrlab/dsrlab/dataplane/announce"

// Each of these counts seconds, which is how often a turn ticks.
const (
	// announcements are sent when a node begins to speak, a second apart: as many as RFC 4861, section 7.2.6, allows
	// (MAX_NEIGHBOR_ADVERTISEMENT); RFC 5227 wants two of ARP at least.
	announcements = 3
	// patience is after how many probes without an answer the node that stands in speaks.
	patience = 3
	// defence is how long a node that speaks leaves between two announcements against another one (DEFEND_INTERVAL of RFC 5227).
	defence = 10
)

// turn is a node's part for one VIP, from second to second. It is pure.
type turn struct {
	role     announce.Role
	speaking bool
	leaving  bool
	untold   int // announcements that are still to be sent
	unheard  int // probes since the node that speaks was heard
	peaceful int // seconds until another announcement against someone else
}

func newTurn(role announce.Role) *turn {
	t := &turn{}
	t.become(role)
	return t
}

// become takes a part. Who stood in and spoke, and speaks by right now, goes on, and says so again.
func (t *turn) become(role announce.Role) {
	if role == t.role {
		return
	}
	t.role, t.unheard = role, 0
	if t.speaking = role == announce.Speaks; t.speaking {
		t.untold = announcements
	}
}

// tick is a second. It says what is to be sent now.
func (t *turn) tick() (probe, tell bool) {
	t.peaceful = max(0, t.peaceful-1)
	if t.role == announce.StandsIn && !t.leaving {
		if t.unheard++; t.unheard > patience && !t.speaking {
			t.speaking, t.untold = true, announcements
		}
		probe = true // also while it speaks, to find out when the other is back
	}
	if tell = t.speaking && t.untold > 0; tell {
		t.untold--
	}
	return probe, tell
}

// heard says that another node speaks for the VIP.
func (t *turn) heard() {
	switch {
	case t.role == announce.StandsIn:
		t.speaking, t.unheard = false, 0
	case t.leaving:
		t.speaking = false // it has taken over
	case t.peaceful == 0:
		t.untold, t.peaceful = max(t.untold, 1), defence
	}
}

// leave hands over: who speaks goes on to do so until it hears the node that stands in, whose probes it does not answer any more.
func (t *turn) leave() { t.leaving = true }

// answers says whether to answer someone who asks, or a probe, which nodes that stand in send.
func (t *turn) answers(probe bool) bool { return t.speaking && (!probe || !t.leaving) }

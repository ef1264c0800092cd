package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// sessions logs what becomes of a speaker's sessions. GoBGP tells of the states of peers as events, but of why it can't connect in its own
// log alone, at level debug; that is read here. It is safe for concurrent use.
type sessions struct {
	log *slog.Logger

	mu     sync.Mutex
	all    map[string]*session // by the router's address
	closed bool
}

// session is one with a router.
type session struct {
	neighbour bool // of another AS, and not farther than one hop
	up        bool
	reason    string // that was logged last
	explained bool   // the router, or GoBGP, has said why the connection under way ends
}

func newSessions(o Options) *sessions {
	s := &sessions{log: o.Log, all: map[string]*session{}}
	for _, p := range o.Peers {
		s.all[p.Address.String()] = &session{neighbour: p.ASN != o.ASN && p.Multihop == 0}
	}
	return s
}

// close says nothing more: sessions end because they are to.
func (s *sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// update takes an event of GoBGP.
func (s *sessions) update(e *apiutil.WatchEventMessage_PeerEvent, _ time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	router := e.Peer.State.NeighborAddress.String()
	one := s.all[router]
	if one == nil || s.closed {
		return
	}
	if e.Peer.State.SessionState == gobgp.BGP_FSM_ESTABLISHED {
		if !one.up {
			one.up, one.reason = true, ""
			s.log.Info("BGP session is up", "router", router)
		}
		return
	}
	one.up = false
	reason := disconnection(e.Peer.State.DisconnectReason, e.Peer.State.DisconnectMessage)
	if e.Peer.State.DisconnectReason == api.PeerState_DISCONNECT_REASON_READ_FAILED && one.explained {
		return // it is what follows
	}
	s.say(router, one, reason)
}

// disconnection puts GoBGP's reason into words; empty: it is none.
func disconnection(reason api.PeerState_DisconnectReason, message string) string {
	switch reason {
	case api.PeerState_DISCONNECT_REASON_UNSPECIFIED, api.PeerState_DISCONNECT_REASON_IDLE_TIMER_EXPIRED:
		return ""
	case api.PeerState_DISCONNECT_REASON_READ_FAILED:
		return routerEnded
	case api.PeerState_DISCONNECT_REASON_INVALID_MSG: // GoBGP takes a NOTIFICATION for one where KEEPALIVE is due
		return "the router refused this node's OPEN message: does it expect this AS and address?"
	case api.PeerState_DISCONNECT_REASON_HOLD_TIMER_EXPIRED:
		return "no message from the router for the hold time"
	}
	return message
}

const routerEnded = "the router ended the connection"

// say logs why a session is not up, unless it is known.
func (s *sessions) say(router string, one *session, reason string) {
	if s.closed || one.up || reason == "" || reason == one.reason {
		return
	}
	one.reason = reason
	attributes := []any{"router", router, "reason", reason}
	if one.neighbour && (strings.Contains(reason, "timeout") || strings.Contains(reason, "no route to host")) {
		attributes = append(attributes, "hint", "a router that is farther than one hop needs multihop")
	}
	s.log.Warn("BGP session is not up", attributes...)
}

// handler passes what GoBGP logs on to next, but for what is said of sessions otherwise.
func (s *sessions) handler(next slog.Handler) slog.Handler {
	return &handler{Handler: next, sessions: s}
}

// handler reads the log of GoBGP.
type handler struct {
	slog.Handler
	sessions *sessions
	router   string // that the log is about; empty: about none
}

// Enabled reports true for all levels, because reasons are at level debug.
func (h *handler) Enabled(context.Context, slog.Level) bool { return true }

func (h *handler) WithAttrs(attributes []slog.Attr) slog.Handler {
	with := &handler{h.Handler.WithAttrs(attributes), h.sessions, h.router}
	for _, a := range attributes {
		if a.Key == "Key" {
			with.router = a.Value.String()
		}
	}
	return with
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.Handler.WithGroup(name), h.sessions, h.router}
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if h.sessions.read(h.router, r) || !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// read reports whether a record is about a session, which then says it itself.
func (s *sessions) read(router string, r slog.Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.all[router]
	if one == nil {
		return false
	}
	switch r.Message {
	case "try to connect":
		one.explained = false
	case "failed to connect":
		reason := attribute(r, "Error").String()
		for _, chosenByKernel := range []string{"0.0.0.0:0->", "[::]:0->"} {
			reason = strings.Replace(reason, chosenByKernel, "", 1)
		}
		s.say(router, one, reason)
	case "sent notification", "received notification":
		code := gobgp.NewNotificationErrorCode(uint8(number(attribute(r, "Code"))), uint8(number(attribute(r, "Subcode"))))
		one.explained = true
		s.say(router, one, fmt.Sprintf("%s: %s", r.Message, code))
	case "outgoing connection IO error":
		if !one.explained { // otherwise it is what follows
			s.say(router, one, routerEnded)
		}
	case "Peer Up", "Peer Down": // told as events
	default:
		return false
	}
	return true
}

// attribute returns an attribute of a record, the zero Value if it has none of the name.
func attribute(r slog.Record, key string) (value slog.Value) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == key {
			value = a.Value
		}
		return a.Key != key
	})
	return value
}

// number is a value's, or 0 where it isn't one.
func number(v slog.Value) int64 {
	if v.Kind() != slog.KindInt64 {
		return 0
	}
	return v.Int64()
}

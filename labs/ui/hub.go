package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// hub reads the testbed for all viewers together, from the first one's arrival to the last one's leaving.
type hub struct {
	testbed  Testbed
	interval time.Duration

	mu      sync.Mutex
	viewers map[chan []byte]bool
	stop    context.CancelFunc // of the reader; nil while nobody views
}

func newHub(tb Testbed, interval time.Duration) *hub {
	return &hub{testbed: tb, interval: interval, viewers: make(map[chan []byte]bool)}
}

const (
	// maxViewers is more than a workshop has.
	maxViewers = 200
	// writeTime is how long a viewer may take nothing.
	writeTime = 10 * time.Second
)

// join returns a channel of states as JSON; nil if there are too many viewers. A viewer that is slow misses some.
func (h *hub) join() chan []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) >= maxViewers {
		return nil
	}
	viewer := make(chan []byte, 1)
	h.viewers[viewer] = true
	if h.stop == nil {
		var ctx context.Context
		ctx, h.stop = context.WithCancel(context.Background())
		go h.read(ctx)
	}
	return viewer
}

func (h *hub) leave(viewer chan []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.viewers, viewer)
	if len(h.viewers) == 0 && h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// read reads until ctx ends.
func (h *hub) read(ctx context.Context) {
	tick := time.NewTicker(h.interval)
	defer tick.Stop()
	before, err := h.testbed.Read(ctx)
	state := h.testbed.State(before, before)
	for {
		state.Error = ""
		if err != nil {
			state.Error = err.Error()
		}
		h.send(ctx, state)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var now Reading
		if now, err = h.testbed.Read(ctx); err == nil {
			state = h.testbed.State(before, now)
			before = now
		}
	}
}

// send hands a state to all viewers of this reader.
func (h *hub) send(ctx context.Context, state State) {
	text, err := json.Marshal(state)
	if err != nil {
		return // a State has no value that JSON has none for
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	for viewer := range h.viewers {
		select {
		case <-viewer: // one that it has not taken yet is out of date
		default:
		}
		viewer <- text
	}
}

// events sends states as server-sent events.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	viewer := s.hub.join()
	if viewer == nil {
		http.Error(w, "too many viewers", http.StatusServiceUnavailable)
		return
	}
	defer s.hub.leave(viewer)
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	for {
		select {
		case <-r.Context().Done():
			return
		case state := <-viewer:
			err := control.SetWriteDeadline(time.Now().Add(writeTime)) // for one who reads nothing, and never goes away
			if err == nil {
				_, err = fmt.Fprintf(w, "data: %s\n\n", state)
			}
			if err != nil || control.Flush() != nil {
				return
			}
		}
	}
}

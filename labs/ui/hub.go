package ui

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// hub reads the testbed for all viewers together, from the first one's arrival to the last one's leaving.
type hub struct {
	testbed  Testbed
	interval time.Duration
	changed  chan struct{} // something was changed that the next reading has not seen

	mu      sync.Mutex
	viewers map[*viewer]bool
	stop    context.CancelFunc // of the reader; nil while nobody views
	feed    *feed              // of the reader
	ended   chan struct{}      // closed when the last reader has ended; nil: there was none
}

// viewer is one who views the page.
type viewer struct {
	ready chan struct{} // there is something that it has not had
	feed  *feed
	had   position
}

func newHub(tb Testbed, interval time.Duration) *hub {
	return &hub{testbed: tb, interval: interval, changed: make(chan struct{}, 1), viewers: make(map[*viewer]bool)}
}

// noteChange has the testbed read soon, so that the rates of the interval after that are none of before the change.
func (h *hub) noteChange() {
	select {
	case h.changed <- struct{}{}:
	default: // it will be
	}
}

const (
	// maxViewers is more than a workshop has.
	maxViewers = 200
	// writeTime is how long a viewer may take nothing.
	writeTime = 10 * time.Second
)

// join returns a new viewer; nil if there are too many. One that is slow misses some states, and flows only if there are many.
func (h *hub) join() *viewer {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) >= maxViewers {
		return nil
	}
	if h.stop == nil {
		h.start()
	}
	v := &viewer{ready: make(chan struct{}, 1), feed: h.feed}
	h.viewers[v] = true
	if v.feed.states > 0 {
		v.ready <- struct{}{}
	}
	return v
}

// start starts a reader, which waits for the end of the one before. The caller holds the lock.
func (h *hub) start() {
	var ctx context.Context
	ctx, h.stop = context.WithCancel(context.Background())
	before, ended, shown := h.ended, make(chan struct{}), &feed{}
	h.feed, h.ended = shown, ended
	go func() {
		defer close(ended)
		if before != nil {
			<-before
		}
		h.read(ctx, shown)
	}()
}

func (h *hub) leave(v *viewer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.viewers, v)
	if len(h.viewers) == 0 && h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// read reads until ctx ends.
func (h *hub) read(ctx context.Context, shown *feed) {
	if ctx.Err() != nil {
		return
	}
	defer h.testbed.EndReading()
	tick := time.NewTicker(h.interval)
	defer tick.Stop()
	last, err := h.testbed.Read(ctx)
	state := h.testbed.State(last, last)
	for {
		state.Error = ""
		if err != nil {
			state.Error = err.Error()
		}
		h.publish(ctx, shown, state, last)
		if !h.wait(ctx, tick) {
			return
		}
		var next Reading
		if next, err = h.testbed.Read(ctx); err == nil {
			state, last = h.testbed.State(last, next), next
		} else {
			last.Flows, last.Left = nil, 0 // they were shown
		}
	}
}

// wait waits for the time of the next reading, and reports whether there is to be one. After a change that is a fifth of the interval later: what
// is shorter has no rate worth telling.
func (h *hub) wait(ctx context.Context, tick *time.Ticker) bool {
	changed := h.changed
	for {
		select {
		case <-ctx.Done():
			return false
		case <-changed:
			tick.Reset(h.interval / 5)
			changed = nil // others are seen with it
		case <-tick.C:
			tick.Reset(h.interval)
			return true
		}
	}
}

// publish gives all viewers of this reader a state, and tables and flows of the reading that it comes from.
func (h *hub) publish(ctx context.Context, shown *feed, state State, from Reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	if errors.Join(shown.set(state, from.Tables), shown.add(from.Flows, from.Left), shown.tell(from.Story)) != nil {
		return // they have no value that JSON has none for
	}
	for v := range h.viewers {
		select {
		case v.ready <- struct{}{}:
		default: // it has not taken what was before, and will take this with it
		}
	}
}

// take returns what a viewer has not had.
func (h *hub) take(v *viewer) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return v.feed.next(&v.had)
}

// events sends states, tables and flows as server-sent events.
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
		case <-viewer.ready:
			news, err := s.hub.take(viewer)
			if err == nil {
				err = control.SetWriteDeadline(time.Now().Add(writeTime)) // for one who reads nothing, and never goes away
			}
			if err == nil {
				_, err = w.Write(news)
			}
			if err != nil || control.Flush() != nil {
				return
			}
		}
	}
}

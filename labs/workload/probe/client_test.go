package probe

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// farEnd is an agent without a network: do answers its requests.
func farEnd(t *testing.T, onEnd func(error), do func(r Request, say func(Message)) bool) *Client {
	t.Helper()
	requests, in := io.Pipe()
	out, messages := io.Pipe()
	go func() {
		defer messages.Close()
		defer requests.Close()
		var mu sync.Mutex
		encoder := json.NewEncoder(messages)
		say := func(m Message) {
			mu.Lock()
			defer mu.Unlock()
			_ = encoder.Encode(m)
		}
		say(Message{Answer: &Answer{}})
		decoder := json.NewDecoder(requests)
		for {
			var r Request
			if decoder.Decode(&r) != nil || !do(r, say) {
				return
			}
		}
	}()
	c := NewClient(in, out, onEnd)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Answers belong to their requests, whatever comes between and in whatever order; sightings come in theirs.
func TestClient(t *testing.T) {
	ended := make(chan error, 1)
	var held *Request
	c := farEnd(t, func(err error) { ended <- err }, func(r Request, say func(Message)) bool {
		say(Message{Answer: &Answer{Number: 1000}}) // of a request that there is not
		switch {
		case r.Guard != nil: // answered after the next one
			held = &r
			return true
		case r.Facts:
			say(Message{Answer: &Answer{Number: r.Number, Facts: &Facts{Kernel: "6.1"}}})
			if held != nil {
				say(Message{Answer: &Answer{Number: held.Number, Error: "port 1 is in use"}})
			}
			return true
		}
		for _, p := range r.Send {
			say(Message{Sighting: &Sighting{ID: p.ID, Level: LevelLeft}})
		}
		say(Message{Answer: &Answer{Number: r.Number}})
		return true
	})
	require.NoError(t, c.Send(t.Context(), Probe{ID: 1}), "what is seen before anybody looks is forgotten")
	var seen []uint32
	c.OnSighting(func(s Sighting) { seen = append(seen, s.ID) })
	require.NoError(t, c.Send(t.Context(), Probe{ID: 2}, Probe{ID: 3}))
	assert.Equal(t, []uint32{2, 3}, seen, "all that was said before the answer")

	guarded := make(chan error, 1)
	go func() { guarded <- c.Guard(t.Context(), 1) }()
	require.Eventually(t, func() bool { // whichever of the two is written first
		facts, err := c.Facts(t.Context())
		return assert.NoError(t, err) && assert.Equal(t, "6.1", facts.Kernel) && len(guarded) == 1
	}, time.Minute, time.Millisecond)
	assert.EqualError(t, <-guarded, "port 1 is in use")

	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	assert.Empty(t, ended, "it was closed")
}

// An agent that ends by itself is an error of what was asked, of what is asked later, and of Close.
func TestClientWhoseAgentEnds(t *testing.T) {
	ended := make(chan error, 1)
	c := farEnd(t, func(err error) { ended <- err }, func(Request, func(Message)) bool { return false })
	require.ErrorIs(t, c.Send(t.Context(), Probe{Source: netip.AddrPort{}}), ErrEnded)
	require.ErrorIs(t, <-ended, ErrEnded)
	require.Error(t, c.Guard(t.Context(), 1))
	_, err := c.Facts(t.Context())
	require.Error(t, err)
	require.ErrorIs(t, c.Close(), ErrEnded)
}

// What is asked after Close is an error, also of an agent that ends only now or whose input nobody reads any more.
func TestClientThatIsClosed(t *testing.T) {
	out, messages := io.Pipe()
	c := NewClient(discard{}, out, nil)
	require.NoError(t, messages.Close())
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.Send(t.Context(), Probe{}), ErrEnded)
	require.ErrorIs(t, c.Guard(t.Context(), 1), ErrEnded)
	_, err := c.Facts(t.Context())
	require.ErrorIs(t, err, ErrEnded)
}

// discard is an input that takes everything.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// What is no line of an agent ends the conversation: nothing that follows could be trusted.
func TestClientThatHearsNonsense(t *testing.T) {
	out, messages := io.Pipe()
	_, in := io.Pipe()
	ended := make(chan error, 1)
	c := NewClient(in, out, func(err error) { ended <- err })
	_, err := io.WriteString(messages, "{\"answer\":{\"number\":0}}\nError: x\n")
	require.NoError(t, err)
	assert.ErrorContains(t, <-ended, "read what the probe agent says: invalid character 'E'")
	assert.ErrorContains(t, c.Close(), "read what the probe agent says")
}

// Nobody waits for an agent that does not answer once the context ends, not even one that does not read.
func TestClientThatIsNotAnswered(t *testing.T) {
	for name, reads := range map[string]bool{"reads": true, "does not read": false} {
		t.Run(name, func(t *testing.T) {
			requests, in := io.Pipe()
			out, messages := io.Pipe()
			c := NewClient(in, out, nil)
			if reads {
				go func() { _, _ = io.Copy(io.Discard, requests) }()
			}
			late := errors.New("late")
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, late)
			defer cancel()
			require.ErrorIs(t, c.Send(ctx, Probe{}), late)
			require.ErrorIs(t, c.Guard(ctx), late)
			_, err := c.Facts(ctx)
			require.ErrorIs(t, err, late)
			require.NoError(t, messages.Close())
			require.NoError(t, requests.Close())
		})
	}
}

package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// Request is a line that Serve reads: one of its fields is set beside its number.
type Request struct {
	Number int      `json:"number"` // the answer has it, too
	Send   []Probe  `json:"send,omitempty"`
	Guard  []uint16 `json:"guard,omitempty"`
	Facts  bool     `json:"facts,omitempty"`
}

// Message is a line that Serve writes: a sighting, or an answer to a request.
type Message struct {
	Sighting *Sighting `json:"sighting,omitempty"`
	Answer   *Answer   `json:"answer,omitempty"`
}

// Answer is what became of a request.
type Answer struct {
	Number int    `json:"number"`
	Error  string `json:"error,omitempty"`
	Facts  *Facts `json:"facts,omitempty"`
}

// Serve probes for who is at the other end of in and out, in lines of JSON, until in or ctx ends. The first line is the answer to
// request 0, which nobody has asked: from then on everything is seen.
func Serve(ctx context.Context, enter workload.Enter, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	encoder := json.NewEncoder(out)
	write := func(m Message) {
		mu.Lock()
		defer mu.Unlock()
		if err := encoder.Encode(m); err != nil {
			cancel(fmt.Errorf("write what probes saw: %w", err))
		}
	}
	agent, err := Open(enter, func(s Sighting) { write(Message{Sighting: &s}) })
	if err != nil {
		return err
	}
	write(Message{Answer: &Answer{}})
	requests := make(chan Request)
	read := make(chan error, 1)
	go func() { read <- readRequests(ctx, in, requests) }()
	for {
		select {
		case r := <-requests:
			answer := agent.answer(ctx, r)
			write(Message{Answer: &answer})
		case err := <-read:
			return errors.Join(err, agent.Close())
		case <-agent.done: // by itself: from now on probes would be missed
			return agent.Close()
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), agent.Close())
		}
	}
}

// readRequests reads requests until there are no more, or ctx ends.
func readRequests(ctx context.Context, in io.Reader, requests chan<- Request) error {
	decoder := json.NewDecoder(in)
	for {
		var r Request
		err := decoder.Decode(&r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		select {
		case requests <- r:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *Agent) answer(ctx context.Context, r Request) Answer {
	answer := Answer{Number: r.Number}
	err := errors.Join(a.Send(ctx, r.Send...), a.Guard(ctx, r.Guard...))
	if r.Facts {
		var factsErr error
		answer.Facts, factsErr = a.Facts(ctx)
		err = errors.Join(err, factsErr)
	}
	if err != nil {
		answer.Error = err.Error()
	}
	return answer
}

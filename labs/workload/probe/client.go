package probe

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// ErrEnded says that an agent's output has ended: before Close was called, or, of a request, before it was answered.
var ErrEnded = errors.New("the probe agent has ended")

// ErrNotEnded says that an agent was told to end and has not: what it saw before is as good as ever.
var ErrNotEnded = errors.New("the probe agent has not ended")

// answerWithin is how long an agent may take to answer a request: one that must find a neighbour's link-layer address takes 3 s.
const answerWithin = 30 * time.Second

// closeWithin is how long an agent may take to end once its input has ended.
const closeWithin = 10 * time.Second

// Client is the other end of Serve: it sends requests to an agent elsewhere, and has the methods of one. Its methods may be called from
// several goroutines. Times in what it returns are those of the agent's machine.
type Client struct {
	in   io.WriteCloser
	done chan struct{} // closed when no more answers come

	writing sync.Mutex // held while a request is written
	mu      sync.Mutex // of what follows
	number  int
	waiting map[int]chan Answer
	see     func(Sighting)
	closing bool
	err     error // why no more answers come
}

// NewClient speaks to a Serve that reads from in and writes to out. It may be made after that has begun to write: what was written
// before is not needed. OnEnd, if not nil, is called once if the agent ends without Close, with the reason.
func NewClient(in io.WriteCloser, out io.Reader, onEnd func(error)) *Client {
	c := &Client{in: in, done: make(chan struct{}), waiting: make(map[int]chan Answer)}
	go func() {
		err := c.read(out)
		c.mu.Lock()
		lost := !c.closing
		if lost {
			c.err = err
		}
		c.mu.Unlock()
		close(c.done)
		if lost && onEnd != nil {
			onEnd(err)
		}
	}()
	return c
}

// OnSighting lets see be called with each sighting from now on, one after the other. What is seen before is forgotten.
func (c *Client) OnSighting(see func(Sighting)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.see = see
}

// read hands out what the agent writes until that ends, and returns why it has.
func (c *Client) read(out io.Reader) error {
	decoder := json.NewDecoder(bufio.NewReaderSize(out, 1<<16))
	for {
		var m Message
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			return ErrEnded
		}
		if err != nil {
			return fmt.Errorf("read what the probe agent says: %w", err)
		}
		c.mu.Lock()
		see := c.see
		var answer chan Answer
		if m.Answer != nil {
			answer = c.waiting[m.Answer.Number]
			delete(c.waiting, m.Answer.Number)
		}
		c.mu.Unlock()
		if m.Sighting != nil && see != nil {
			see(*m.Sighting)
		}
		if answer != nil {
			answer <- *m.Answer // it has room for one
		}
	}
}

// request sends a request and waits for its answer.
func (c *Client) request(ctx context.Context, r Request) (*Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("no answer from the probe agent within %v", answerWithin))
	defer cancel()
	answered := make(chan Answer, 1)
	c.mu.Lock()
	c.number++
	r.Number = c.number
	c.waiting[r.Number] = answered
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, r.Number)
		c.mu.Unlock()
	}()
	written := make(chan error, 1)
	go func() { written <- c.write(r) }() // it may wait for an agent that is not there any more
	for {
		select {
		case err := <-written:
			if err != nil {
				return nil, errors.Join(c.ended(), fmt.Errorf("send request to the probe agent: %w", err))
			}
			written = nil
		case a := <-answered:
			if a.Error != "" {
				return &a, errors.New(a.Error)
			}
			return &a, nil
		case <-c.done:
			return nil, cmp.Or(c.ended(), ErrEnded)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (c *Client) write(r Request) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err = c.in.Write(append(line, '\n'))
	return err
}

// ended is why no more answers come; nil as long as they may.
func (c *Client) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Send sends probes, as Agent.Send does.
func (c *Client) Send(ctx context.Context, probes ...Probe) error {
	_, err := c.request(ctx, Request{Send: probes})
	return err
}

// Guard keeps the kernel from answering probes of some ports, as Agent.Guard does.
func (c *Client) Guard(ctx context.Context, ports ...uint16) error {
	_, err := c.request(ctx, Request{Guard: ports})
	return err
}

// Facts reads what the kernel says about the agent's network, as Agent.Facts does.
func (c *Client) Facts(ctx context.Context) (*Facts, error) {
	a, err := c.request(ctx, Request{Facts: true})
	if err != nil {
		return nil, err
	}
	if a.Facts == nil {
		return nil, errors.New("the probe agent answered without facts")
	}
	return a.Facts, nil
}

// Close ends the agent's input, and so the agent, and waits for its end. It returns why the agent had ended before, if it had.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closing = true
	err := c.err
	c.mu.Unlock()
	closed := c.in.Close()
	if err != nil {
		return err
	}
	select {
	case <-c.done:
		return closed
	case <-time.After(closeWithin):
		return errors.Join(closed, fmt.Errorf("%w within %v", ErrNotEnded, closeWithin))
	}
}

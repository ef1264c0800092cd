package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dsrlab/dsrlab/labs/testbed"
)

const (
	// patience is how long an exchange, or a connection's beginning, may take before it counts as failed. TCP goes on for longer: about two
	// minutes for a SYN, a quarter of an hour for data (tcp_syn_retries, tcp_retries2).
	patience = time.Minute
	// exchangePause is between two exchanges of one connection.
	exchangePause = 5 * time.Millisecond
	// more is how many exchanges each connection must make after a disturbance to count as unharmed.
	more = 3
	// nameBytes is the room for a pod's name in an answer.
	nameBytes = 32
)

// server answers in a pod: to each number it says the number and the pod's name.
type server struct {
	pod      string
	listener net.Listener
	mu       sync.Mutex
	open     map[net.Conn]bool
}

func serve(tb *testbed.Testbed, pod string, port uint16) (*server, error) {
	s := &server{pod: pod, open: make(map[net.Conn]bool)}
	err := tb.Enter(pod).Do(func() (err error) {
		s.listener, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve in %s: %w", pod, err)
	}
	go func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open[conn] = true
			s.mu.Unlock()
			go s.answer(conn)
		}
	}()
	return s, nil
}

func (s *server) answer(conn net.Conn) {
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.open, conn)
		s.mu.Unlock()
	}()
	message := make([]byte, 8+nameBytes)
	copy(message[8:], s.pod)
	for {
		if _, err := io.ReadFull(conn, message[:8]); err != nil {
			return
		}
		if _, err := conn.Write(message); err != nil {
			return
		}
	}
}

// kill ends the server and resets its connections, as the death of a process does.
func (s *server) kill() {
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		conn.Close()
	}
}

// call is a connection that lasts.
type call struct {
	conn      net.Conn
	pod       string
	exchanges atomic.Int64
	failed    atomic.Bool
}

// exchange sends a number and checks the answer, which returns the pod's name.
func exchange(conn net.Conn, number uint64) (pod string, err error) {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	message := binary.BigEndian.AppendUint64(nil, number)
	if _, err := conn.Write(message); err != nil {
		return "", err
	}
	answer := make([]byte, 8+nameBytes)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return "", err
	}
	if got := binary.BigEndian.Uint64(answer); got != number {
		return "", fmt.Errorf("asked for %d and got %d", number, got)
	}
	return string(bytes.TrimRight(answer[8:], "\x00")), nil
}

// traffic is what clients do while something is disturbed.
type traffic struct {
	testbed *testbed.Testbed
	from    string
	to      netip.AddrPort
	done    chan struct{}
	running sync.WaitGroup

	calls     []*call
	openers   []*atomic.Int64
	exchanges atomic.Int64
	opened    atomic.Int64
	failed    atomic.Int64

	mu      sync.Mutex
	reasons []string
}

func newTraffic(tb *testbed.Testbed, from string, to netip.AddrPort) *traffic {
	return &traffic{testbed: tb, from: from, to: to, done: make(chan struct{})}
}

func (t *traffic) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return t.testbed.Dialer(t.from).Dial(ctx, "tcp", t.to, nil)
}

// hold opens connections that last, and waits for their first exchanges.
func (t *traffic) hold(ctx context.Context, count int) error {
	for range count {
		conn, err := t.dial(ctx)
		if err != nil {
			return fmt.Errorf("call %v: %w", t.to, err)
		}
		c := &call{conn: conn}
		if c.pod, err = exchange(conn, 0); err != nil {
			return errors.Join(fmt.Errorf("call %v: %w", t.to, err), conn.Close())
		}
		t.calls = append(t.calls, c)
		t.running.Go(func() { t.talk(c) })
	}
	return nil
}

func (t *traffic) talk(c *call) {
	defer c.conn.Close()
	for number := uint64(1); !t.stopped(); number++ {
		pod, err := exchange(c.conn, number)
		if err == nil && pod != c.pod {
			err = fmt.Errorf("answered by %s, then by %s", c.pod, pod)
		}
		if err != nil {
			c.failed.Store(true)
			t.fail(fmt.Errorf("a running connection to %s: %w", c.pod, err))
			return
		}
		c.exchanges.Add(1)
		t.exchanges.Add(1)
		t.pause()
	}
}

// open opens short connections one after the other, so many at a time.
func (t *traffic) open(ctx context.Context, parallel int) {
	for range parallel {
		rounds := new(atomic.Int64)
		t.openers = append(t.openers, rounds)
		t.running.Go(func() {
			for number := uint64(0); !t.stopped(); number++ {
				err := t.once(ctx, number)
				t.opened.Add(1)
				if err != nil {
					t.fail(fmt.Errorf("a new connection: %w", err))
				}
				rounds.Add(1)
				t.pause()
			}
		})
	}
}

func (t *traffic) once(ctx context.Context, number uint64) error {
	conn, err := t.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := exchange(conn, number); err != nil {
		return err
	}
	t.exchanges.Add(1)
	return nil
}

func (t *traffic) stopped() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

func (t *traffic) pause() {
	select {
	case <-t.done:
	case <-time.After(exchangePause):
	}
}

func (t *traffic) fail(err error) {
	t.failed.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	const kept = 5
	if len(t.reasons) < kept {
		t.reasons = append(t.reasons, err.Error())
	}
}

// on counts the lasting connections to a pod.
func (t *traffic) on(pod string) (n int) {
	for _, c := range t.calls {
		if c.pod == pod {
			n++
		}
	}
	return n
}

// settle waits until each connection that is not lost has made more exchanges than before, and each opener more connections.
func (t *traffic) settle(ctx context.Context) error {
	goals := make(map[*atomic.Int64]int64)
	for _, c := range t.calls {
		goals[&c.exchanges] = c.exchanges.Load() + more
	}
	for _, rounds := range t.openers {
		goals[rounds] = rounds.Load() + more
	}
	failed := make(map[*atomic.Int64]*atomic.Bool)
	for _, c := range t.calls {
		failed[&c.exchanges] = &c.failed
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	for count, goal := range goals {
		for count.Load() < goal && (failed[count] == nil || !failed[count].Load()) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("connections neither went on nor failed within %s", 2*patience)
			case <-time.After(exchangePause):
			}
		}
	}
	return nil
}

// stop ends all connections, and returns how many there were, how many of them failed, and why some of them did.
func (t *traffic) stop() (tried, failed int, reasons []string) {
	close(t.done)
	t.running.Wait()
	return len(t.calls) + int(t.opened.Load()), int(t.failed.Load()), t.reasons
}

package ui

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
)

const (
	// connectionTime is how long one connection of the download lasts at most.
	connectionTime = 10 * time.Minute
	// reconnectAfter is how long the download waits after a connection that broke.
	reconnectAfter = 500 * time.Millisecond
	// standstill is after how many readings with less than a kilobyte the download gives up its connection.
	standstill = 3
	callTime   = 2 * time.Second
	keptCalls  = 120
)

// download transfers bytes from a service to a client until it is stopped, over one connection after the other.
type download struct {
	dial func(namespace string) workload.Dialer

	mu      sync.Mutex
	now     Download
	target  netip.AddrPort
	cancel  context.CancelFunc // of the connections; nil: none are made
	done    chan struct{}      // closed when the last one has ended
	connect context.CancelFunc // ends the connection of the moment
	bytes   uint64             // of the client's port at the last reading
	idle    int                // readings without progress
}

func (d *download) state() Download {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// start replaces the download that runs.
func (d *download) start(client, service string, target netip.AddrPort) {
	d.stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now.Running { // another one was quicker
		return
	}
	d.now = Download{Running: true, Client: client, Service: service}
	d.target = target
	d.begin()
}

// begin begins to make connections. The caller holds the lock.
func (d *download) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel, d.done = cancel, make(chan struct{})
	go d.run(ctx, d.done, d.now.Client, d.target)
}

func (d *download) stop() {
	d.pause()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now.Running = false
}

// pause ends the connection and makes no other until resume is called. It is safe to stop or start meanwhile.
func (d *download) pause() (resume func()) {
	d.mu.Lock()
	cancel, done := d.cancel, d.done
	d.cancel = nil
	d.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if done != nil {
		<-done // also where another call has cancelled it
	}
	if cancel == nil {
		return func() {}
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.now.Running && d.cancel == nil {
			d.begin()
		}
	}
}

func (d *download) run(ctx context.Context, done chan struct{}, client string, target netip.AddrPort) {
	defer close(done)
	for ctx.Err() == nil {
		d.mu.Lock()
		one, end := context.WithCancel(ctx)
		d.connect, d.idle = end, 0
		d.now.Connections++
		d.mu.Unlock()
		_, err := workload.Bulk(one, workload.BulkOptions{
			Dialer: d.dial(client), Target: target, Direction: workload.Download, Duration: connectionTime,
		})
		end()
		if ctx.Err() != nil {
			return
		}
		d.mu.Lock()
		d.now.Error = ""
		if err != nil {
			d.now.Error = err.Error()
		}
		d.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(reconnectAfter):
		}
	}
}

// watch is told what the client's port has carried, and ends a connection that has come to a standstill: one whose LB node has failed
// waits for a retransmission that may take minutes.
func (d *download) watch(bytes uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if bytes-d.bytes < 1000 {
		d.idle++
	} else {
		d.idle, d.now.Error = 0, ""
	}
	d.bytes = bytes
	if d.idle >= standstill && d.connect != nil {
		d.connect()
		d.idle = 0
	}
}

// calls are what pods said about whom they saw.
type calls struct {
	dial func(namespace string) workload.Dialer

	mu      sync.Mutex
	running bool
	last    []call
}

type call struct {
	at   time.Time
	seen netip.Addr
}

// begin makes one call, unless the one before is still under way.
func (c *calls) begin(ctx context.Context, client string, target netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running {
		return
	}
	c.running = true
	go func() {
		report, _ := workload.Connect(ctx, workload.ConnectOptions{
			Dialer: c.dial(client), Protocol: workload.TCP, Target: target, Count: 1, Timeout: callTime,
		}) // that it failed tells nothing about whom a pod saw
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running = false
		if report == nil {
			return
		}
		for _, one := range report.Connections {
			if one.Seen.IsValid() {
				c.last = append(c.last, call{time.Now(), one.Seen.Addr()})
			}
		}
		c.last = c.last[max(0, len(c.last)-keptCalls):]
	}()
}

// seen counts the calls since a time by the address that a pod saw, in the order of addresses.
func (c *calls) seen(since time.Time) []Caller {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := make(map[netip.Addr]int)
	for _, one := range c.last {
		if one.at.After(since) {
			counts[one.seen]++
		}
	}
	all := []Caller{}
	for _, a := range slices.SortedFunc(maps.Keys(counts), netip.Addr.Compare) {
		all = append(all, Caller{Address: a, Calls: counts[a]})
	}
	return all
}

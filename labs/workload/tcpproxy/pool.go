package tcpproxy

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload/proxyproto"
)

// pool chooses among the upstreams.
type pool struct {
	upstreams []netip.AddrPort

	mu   sync.Mutex
	next int
	down []bool // the upstream failed its last check
}

// inTurn returns the upstreams in the order in which a connection tries them: those that are down come last.
func (p *pool) inTurn() []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.next
	p.next = (p.next + 1) % len(p.upstreams)
	var up, down []netip.AddrPort
	for i := range p.upstreams {
		at := (first + i) % len(p.upstreams)
		if p.down[at] {
			down = append(down, p.upstreams[at])
		} else {
			up = append(up, p.upstreams[at])
		}
	}
	return append(up, down...)
}

func (p *pool) set(i int, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down[i] = down
}

// checkForever checks an upstream until ctx is done.
func (p *Proxy) checkForever(ctx context.Context, i int) {
	ticker := time.NewTicker(p.options.CheckEvery)
	defer ticker.Stop()
	for {
		err := p.check(ctx, p.options.Upstreams[i])
		if ctx.Err() != nil {
			return
		}
		p.pool.set(i, err != nil)
		p.record.checked(p.options.Upstreams[i], err)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// check opens a connection of the proxy's own, with a LOCAL header, and ends it.
func (p *Proxy) check(ctx context.Context, upstream netip.AddrPort) error {
	conn, err := p.dialOne(ctx, upstream)
	if err != nil {
		return err
	}
	defer conn.Close()
	if p.options.Send == proxyproto.None {
		return nil
	}
	b, err := proxyproto.Header{Version: p.options.Send, Command: proxyproto.Local}.Append(nil)
	if err != nil {
		return err
	}
	if _, err := conn.Write(b); err != nil {
		return fmt.Errorf("send PROXY header: %w", err)
	}
	return nil
}

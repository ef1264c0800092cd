package remote

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload/probe"
)

// tries is how many datagrams are sent to each node to find out whether it can be reached, patience how long they may take.
const (
	tries    = 3
	patience = 3 * time.Second
)

// reach is what nodes saw of this machine's datagrams.
type reach struct {
	mu   sync.Mutex
	sent map[uint32]netip.Addr // the source of each, by its ID
	seen map[uint32]netip.Addr // as nodes saw it
	all  chan struct{}         // closed when all were seen
}

func (r *reach) see(s probe.Sighting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ours := r.sent[s.ID]; !ours || s.Level != probe.LevelDevice || s.Reason != "" {
		return
	}
	r.seen[s.ID] = s.Source.Addr()
	if len(r.seen) == len(r.sent) {
		close(r.all)
		r.sent = nil
	}
}

// checkReach refuses a machine whose packets reach no node, or all nodes with another source: what nodes send to its address would not
// arrive, whatever the cluster's network lets pass.
func (s *Session) checkReach(ctx context.Context) error {
	r := &reach{sent: map[uint32]netip.Addr{}, seen: map[uint32]netip.Addr{}, all: make(chan struct{})}
	var probes []probe.Probe
	own, err := s.Here.addresses(s.seen.nodes)
	if err != nil {
		return err
	}
	first := rand.Uint32() // others may be probing, too
	for _, a := range s.agents {
		for _, to := range a.addresses() {
			for _, from := range own {
				for range tries {
					if from.Addr().Is6() != to.Addr().Is6() {
						continue
					}
					p := probe.Probe{ID: first + uint32(len(probes)), Kind: probe.KindUDP, Source: netip.AddrPortFrom(from.Addr(), probe.ControlPort),
						Destination: netip.AddrPortFrom(to.Addr(), probe.ControlPort)}
					r.sent[p.ID] = from.Addr()
					probes = append(probes, p)
				}
			}
		}
	}
	source := maps.Clone(r.sent)
	for _, a := range s.agents {
		a.client.OnSighting(r.see) // which reads what was filled before
	}
	here, err := s.Here.Open(func(probe.Sighting) {})
	if err != nil {
		return err
	}
	defer here.Close()
	sent := here.Send(ctx, probes...) // of some nodes it may fail
	select {
	case <-r.all:
	case <-time.After(patience):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return r.judge(source, sent, nodeAddresses(s.seen.nodes))
}

// judge is the error of a machine that is no client. Sent is why some datagrams could not be sent.
func (r *reach) judge(source map[uint32]netip.Addr, sent error, nodes string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, from := range r.seen {
		if from == source[id] {
			return nil
		}
	}
	const how = "run it where the nodes' addresses can be reached without translation: "
	for id, from := range r.seen {
		return &LackingError{What: fmt.Sprintf("nodes see this machine as %v and not as %v: a translator stands between, and what they send to it would not arrive",
			from, source[id]), How: how + nodes}
	}
	return &LackingError{What: "nothing that this machine sends reaches a node", Err: sent, How: how + nodes}
}

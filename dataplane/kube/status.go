package kube

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// status is what the agent tells of itself. Others than the agent's goroutine read it.
type status struct {
	mu          sync.Mutex
	everApplied bool
	applyError  error
	groundError error
	unreachable []netip.Addr
	nodes       int // others that there is a way to by the node's device
	refused     int
}

func (s *status) applied(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.everApplied, s.applyError = s.everApplied || err == nil, err
}

// follows notes whether the data path follows the node's device, addresses and MTU: nil if it does.
func (s *status) follows(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groundError = err
}

func (s *status) reaches(hops map[netip.Addr]hop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes, s.unreachable = len(hops), nil
	for address, h := range hops {
		if h.failed {
			s.unreachable = append(s.unreachable, address)
		}
	}
	slices.SortFunc(s.unreachable, netip.Addr.Compare)
}

func (s *status) refuses(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = n
}

// serves reports whether the data path forwards by the cluster's objects, perhaps by what they were a moment ago.
func (s *status) serves() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.everApplied && s.groundError == nil
}

// Synced reports whether the data path holds what the cluster's objects say, as far as it can hold them, and is attached.
func (a *Agent) Synced() bool { return a.status.serves() }

// Healthy returns why the data path does not do its work, or nil: its programs are attached and loaded for the device as it is, its
// tables are current but for objects that were refused, and of several other nodes at least one answers. It may be called
// while Run runs.
func (a *Agent) Healthy() error {
	s := &a.status
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.groundError != nil:
		return s.groundError
	case s.applyError != nil:
		return fmt.Errorf("the data path's tables are not current: %w", s.applyError)
	case !s.everApplied:
		return errors.New("the cluster's objects are not known yet")
	case s.nodes > 1 && len(s.unreachable) == s.nodes: // with a single other node there is no telling whose fault it is
		return fmt.Errorf("no other node answers: %s", texts(s.unreachable))
	}
	return nil
}

// Unreachable are the addresses of other nodes that nobody answers at. It may be called while Run runs.
func (a *Agent) Unreachable() []netip.Addr {
	a.status.mu.Lock()
	defer a.status.mu.Unlock()
	return slices.Clone(a.status.unreachable)
}

// Refused is how many objects are not, or not in all, in the data path. It may be called while Run runs.
func (a *Agent) Refused() int {
	a.status.mu.Lock()
	defer a.status.mu.Unlock()
	return a.status.refused
}

func texts(all []netip.Addr) string {
	var out []string
	for _, a := range all {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}

package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// AS numbers of a lab, from the range for private use (RFC 6996). All LB nodes are in one AS: paths of the same length through the same
// neighbour AS are equal, so the router can use all of them.
const (
	RouterASN  = 64512
	ClusterASN = 64513
)

// The timers of a lab are short, so that nobody waits for minutes when a node dies.
const (
	HoldTime     = 3 * time.Second
	ConnectRetry = time.Second
)

// Metric is that of learned routes. It is lower than that of the routes that refuse VIPs nobody announces.
const Metric = 20

func labTimers() Timers { return Timers{Hold: HoldTime, Retry: ConnectRetry} }

// Announcement is what one LB node of a lab announces to the router.
type Announcement struct {
	RouterID netip.Addr   // IPv4, also for nodes that have no IPv4 address
	Router   netip.Addr   // the address to connect to
	NextHops []netip.Addr // the node's own addresses, at most one per family
	VIPs     []netip.Addr
}

// Validate returns everything that is wrong with a.
func (a *Announcement) Validate() error {
	errs := []error{checkID(a.RouterID)}
	if !a.Router.IsValid() {
		errs = append(errs, errors.New("router: want the address of the router"))
	}
	if len(a.VIPs) == 0 {
		errs = append(errs, errors.New("vip: want at least one to announce"))
	}
	for _, vip := range a.VIPs {
		if !addressOfFamily(a.NextHops, vip).IsValid() {
			errs = append(errs, fmt.Errorf("next hop: want one of the same IP version as VIP %s", vip))
		}
	}
	return errors.Join(errs...)
}

// Announce connects to the router and announces the VIPs until ctx ends. Then it closes the session, and the router withdraws them.
func Announce(ctx context.Context, a *Announcement, log *slog.Logger) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("announce VIPs: %w", err)
	}
	s, err := New(ctx, Options{
		ASN: ClusterASN, ID: a.RouterID, NextHops: a.NextHops, Timers: labTimers(), Log: log,
		Peers: []Peer{{Address: a.Router, ASN: RouterASN}},
	})
	if err != nil {
		return fmt.Errorf("announce VIPs: %w", err)
	}
	defer s.Close()
	if err := s.Set(a.VIPs); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// Router is a lab's router. It accepts host routes only, from its peers only.
type Router struct {
	ID    netip.Addr // IPv4
	Peers []netip.Addr
}

// Validate returns everything that is wrong with r.
func (r *Router) Validate() error {
	errs := []error{checkID(r.ID)}
	if len(r.Peers) == 0 {
		errs = append(errs, errors.New("peer: want at least one to listen to"))
	}
	return errors.Join(errs...)
}

func checkID(id netip.Addr) error {
	if !id.Is4() {
		return errors.New("router id: want an IPv4 address")
	}
	return nil
}

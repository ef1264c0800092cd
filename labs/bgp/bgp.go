// Package bgp says who speaks BGP in a lab: LB nodes announce VIPs to a router, and the router spreads flows over all that
// announce one. It is values and text alone; labs/bgp/speaker speaks, as does BIRD with the configuration made here.
package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// The lab's own AS numbers, of those for private use (RFC 6996). All LB nodes are of one AS: paths of the same length by the
// same neighbour AS are equal, so that the router may use them all.
const (
	RouterASN  = 64512
	ClusterASN = 64513
)

// Times are short: a lab that looks on while a node dies does not wait for minutes.
const (
	HoldTime     = 3 * time.Second // without a word from its peer a session is dead
	ConnectRetry = time.Second
)

// Metric is that of learned routes: lower than that of the route for VIPs which nobody announces.
const Metric = 20

// Announcement is what one LB node says to the router, until it ends.
type Announcement struct {
	RouterID netip.Addr   // IPv4, also of nodes that have no such address
	Router   netip.Addr   // whom it calls
	NextHops []netip.Addr // its own addresses, one of each IP version at most
	VIPs     []netip.Addr
}

// Validate says all that is wrong with an announcement.
func (a *Announcement) Validate() error {
	errs := []error{checkID(a.RouterID)}
	if !a.Router.IsValid() {
		errs = append(errs, errors.New("router: want the address of the router"))
	}
	if len(a.VIPs) == 0 {
		errs = append(errs, errors.New("vip: want at least one to announce"))
	}
	for _, vip := range a.VIPs {
		if !a.NextHop(vip).IsValid() {
			errs = append(errs, fmt.Errorf("next hop: want one of the same IP version as VIP %s", vip))
		}
	}
	return errors.Join(errs...)
}

// NextHop is where packets for a VIP are to go; it is not valid if the node has no address of the VIP's IP version.
func (a *Announcement) NextHop(vip netip.Addr) netip.Addr {
	for _, hop := range a.NextHops {
		if hop.Is4() == vip.Is4() {
			return hop
		}
	}
	return netip.Addr{}
}

// Router is who listens. It takes host routes alone, from its peers alone.
type Router struct {
	ID    netip.Addr // IPv4
	Peers []netip.Addr
}

// Validate says all that is wrong with a router.
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

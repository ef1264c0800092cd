package edge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
)

// vipRoutes are those that lead VIPs to LB nodes, as the topology has them.
func vipRoutes(tb *testbed.Testbed) []topologies.Route {
	isPods := func(r topologies.Route) bool {
		return slices.ContainsFunc(tb.Plan().Nodes, func(n topologies.Node) bool { return slices.Contains(n.PodCIDRs, r.Destination) })
	}
	return slices.DeleteFunc(slices.Clone(tb.Plan().FabricRoutes), func(r topologies.Route) bool { return !r.Destination.IsSingleIP() || isPods(r) })
}

// vipRoutesVia are the same to one node; VIPs of an IP version that the node lacks are left out.
func vipRoutesVia(tb *testbed.Testbed, n *topologies.Node) []topologies.Route {
	var all []topologies.Route
	for _, r := range vipRoutes(tb) {
		if via := n.AddressFor(r.Destination.Addr()); via.IsValid() {
			all = append(all, topologies.Route{Destination: r.Destination, Via: []netip.Addr{via}})
		}
	}
	return all
}

// VIPRoutes returns the next hops for the topology's VIPs in a namespace's main table, in order; a VIP without any is missing. For a
// router they are what it has learned.
func VIPRoutes(tb *testbed.Testbed, place string) ([]topologies.Route, error) {
	var all []topologies.Route
	err := tb.Network().Do(place, func() error {
		for _, r := range vipRoutes(tb) {
			found, err := routesTo(r.Destination)
			if err != nil {
				return err
			}
			var via []netip.Addr
			for i := range found {
				via = append(via, nextHops(&found[i])...)
			}
			if len(via) > 0 {
				slices.SortFunc(via, netip.Addr.Compare)
				all = append(all, topologies.Route{Destination: r.Destination, Via: via})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read routes of %s: %w", place, err)
	}
	return all, nil
}

// replaceRoutes adds routes to the thread's namespace, and replaces those to the same destination.
func replaceRoutes(routes []topologies.Route) error {
	for _, r := range routes {
		route := &netlink.Route{Dst: ipNetOf(r.Destination)}
		if len(r.Via) == 1 {
			route.Gw = r.Via[0].AsSlice()
		} else {
			for _, via := range r.Via {
				route.MultiPath = append(route.MultiPath, &netlink.NexthopInfo{Gw: via.AsSlice()})
			}
		}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route %s to %v: %w", r.Destination, r.Via, err)
		}
	}
	return nil
}

// removeVIPRoutes removes all routes to VIPs from the thread's namespace.
func removeVIPRoutes(tb *testbed.Testbed) error {
	var errs []error
	for _, r := range vipRoutes(tb) {
		found, err := routesTo(r.Destination)
		errs = append(errs, err)
		for i := range found {
			if err := netlink.RouteDel(&found[i]); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("remove route to %s: %w", r.Destination, err))
			}
		}
	}
	return errors.Join(errs...)
}

// refuseVIPs makes VIPs unreachable in the thread's namespace as long as it has no better route to them. Without it packets would
// follow the default route back to the fabric and loop.
func refuseVIPs(tb *testbed.Testbed) error {
	const metric = 1 << 16 // worse than that of learned routes
	for _, r := range vipRoutes(tb) {
		route := &netlink.Route{Dst: ipNetOf(r.Destination), Type: unix.RTN_UNREACHABLE, Priority: metric}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("refuse %s: %w", r.Destination, err)
		}
	}
	return nil
}

// routesTo are the main table's routes to exactly this destination.
func routesTo(p netip.Prefix) ([]netlink.Route, error) {
	family := netlink.FAMILY_V4
	if p.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	found, err := netlink.RouteListFiltered(family, &netlink.Route{Dst: ipNetOf(p)}, netlink.RT_FILTER_DST)
	if err != nil {
		return nil, fmt.Errorf("list routes to %s: %w", p, err)
	}
	return found, nil
}

func nextHops(r *netlink.Route) []netip.Addr {
	var all []netip.Addr
	add := func(ip net.IP) {
		if a, ok := netip.AddrFromSlice(ip); ok {
			all = append(all, a.Unmap())
		}
	}
	add(r.Gw)
	for _, hop := range r.MultiPath {
		add(hop.Gw)
	}
	return all
}

// addReturn leads marked packets to a node, whose addresses are one of each IP version at most.
func addReturn(to []netip.Addr) error {
	for _, a := range to {
		route := &netlink.Route{Dst: ipNetOf(netip.PrefixFrom(anyOf(a), 0)), Gw: a.AsSlice(), Table: returnTable}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route answers to %s: %w", a, err)
		}
		if err := netlink.RuleAdd(returnRule(a)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("route answers to %s: %w", a, err)
		}
	}
	return nil
}

// removeReturn undoes addReturn.
func removeReturn() error {
	var errs []error
	for _, family := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if err := netlink.RuleDel(returnRule(family)); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove rule for answers: %w", err))
		}
		route := &netlink.Route{Dst: ipNetOf(netip.PrefixFrom(family, 0)), Table: returnTable}
		err := netlink.RouteDel(route)
		if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENOENT) { // in an empty table, or in none
			errs = append(errs, fmt.Errorf("remove route for answers: %w", err))
		}
	}
	return errors.Join(errs...)
}

func returnRule(a netip.Addr) *netlink.Rule {
	rule := netlink.NewRule()
	rule.Mark, rule.Table, rule.Priority = returnMark, returnTable, returnPriority
	rule.Family = netlink.FAMILY_V4
	if a.Is6() {
		rule.Family = netlink.FAMILY_V6
	}
	return rule
}

// anyOf is the unspecified address of the same IP version.
func anyOf(a netip.Addr) netip.Addr {
	if a.Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func ipNetOf(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

package obstacle

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
)

// The other route of a node: a device whose other end is in the node, too, and leads nowhere, and a rule for what the node itself sends to
// clients.
const (
	otherDevice   = "other0"
	otherEnd      = "other1"
	otherTable    = 1002
	otherPriority = 1002
)

// otherRoute gives the thread's namespace another device, by which the node's own packets to clients would go.
func otherRoute(n *topologies.Node, p *topologies.Plan) error {
	if err := removeOtherRoute(); err != nil {
		return err
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = otherDevice
	link := &netlink.Veth{LinkAttrs: attributes, PeerName: otherEnd}
	if err := errors.Join(netlink.LinkAdd(link), netlink.LinkSetUp(link)); err != nil {
		return fmt.Errorf("add device %s: %w", otherDevice, err)
	}
	for _, client := range p.NodesOf(topologies.RoleClient) {
		for _, a := range client.Addrs() {
			own := n.AddressFor(a)
			if !a.Is4() || !own.IsValid() {
				continue
			}
			route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: hostNet(a), Table: otherTable, Scope: netlink.SCOPE_LINK}
			rule := netlink.NewRule()
			rule.Family, rule.Src, rule.Dst, rule.Table, rule.Priority = netlink.FAMILY_V4, hostNet(own), hostNet(a), otherTable, otherPriority
			if err := errors.Join(netlink.RouteReplace(route), netlink.RuleAdd(rule)); err != nil {
				return fmt.Errorf("route to %v by %s: %w", a, otherDevice, err)
			}
		}
	}
	return nil
}

// removeOtherRoute takes otherRoute back; the routes go with the device.
func removeOtherRoute() error {
	rules, err := netlink.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list routing rules: %w", err)
	}
	var errs []error
	for i := range rules {
		if rules[i].Priority == otherPriority && rules[i].Table == otherTable {
			rules[i].Family = netlink.FAMILY_V4
			errs = append(errs, netlink.RuleDel(&rules[i]))
		}
	}
	link, err := netlink.LinkByName(otherDevice)
	var missing netlink.LinkNotFoundError
	switch {
	case err == nil:
		errs = append(errs, netlink.LinkDel(link))
	case !errors.As(err, &missing) && !errors.Is(err, unix.ENODEV):
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

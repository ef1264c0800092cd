package stand

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// FailNode lets an LB node die: nothing passes its port any more and, when the time of detection is over, the fabric leads no VIP
// to it, as a router does that has noticed. Until then it goes on sending to it.
func (s *Stand) FailNode(ctx context.Context, node string, detection time.Duration) error {
	if s.onCluster() {
		return onlyOnNetns("an LB node that dies")
	}
	n, err := s.lbNode(node)
	if err != nil {
		return fmt.Errorf("fail LB node: %w", err)
	}
	if err := s.setPort(n, netlink.LinkSetDown); err != nil {
		return fmt.Errorf("fail %s: %w", node, err)
	}
	timer := time.NewTimer(detection)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return fmt.Errorf("fail %s: %w", node, ctx.Err())
	}
	if err := s.routeToLiving(); err != nil {
		return errors.Join(fmt.Errorf("fail %s: %w", node, err), s.setPort(n, netlink.LinkSetUp))
	}
	return nil
}

// ReviveNode brings a dead LB node back, as after a reboot: with an empty data path of the variant, without any flow.
func (s *Stand) ReviveNode(ctx context.Context, node string, v Variant) error {
	if s.onCluster() {
		return onlyOnNetns("an LB node that comes back")
	}
	n, err := s.lbNode(node)
	if err != nil {
		return fmt.Errorf("revive LB node: %w", err)
	}
	tables, err := s.Tables(v)
	if err != nil {
		return fmt.Errorf("revive %s: %w", node, err)
	}
	if err := errors.Join(s.uninstallFrom(ctx, node), s.installOn(ctx, n, v, tables)); err != nil {
		return fmt.Errorf("revive %s: %w", node, err)
	}
	if err := errors.Join(s.setPort(n, netlink.LinkSetUp), s.routeToLiving()); err != nil {
		return fmt.Errorf("revive %s: %w", node, err)
	}
	return nil
}

func (s *Stand) lbNode(name string) (topologies.Node, error) {
	lbs := s.LBNodes()
	i := slices.IndexFunc(lbs, func(n topologies.Node) bool { return n.Name == name })
	if i < 0 {
		return topologies.Node{}, fmt.Errorf("%q is no LB node of %s", name, s.plan.Name)
	}
	return lbs[i], nil
}

// setPort opens or shuts the fabric's end of a node's wire.
func (s *Stand) setPort(n topologies.Node, set func(netlink.Link) error) error {
	return s.lab.Do(netns.Fabric, func() error {
		port, err := netlink.LinkByName(n.Port)
		if err != nil {
			return fmt.Errorf("find port of %s: %w", n.Name, err)
		}
		return set(port)
	})
}

// routeToLiving leads VIPs to all LB nodes whose ports are open.
func (s *Stand) routeToLiving() error {
	return s.lab.Do(netns.Fabric, func() error {
		routes, err := s.routesToLiving()
		if err != nil {
			return err
		}
		return replaceRoutes(routes)
	})
}

// routesToLiving are the routes of VIPs to those LB nodes whose ports are open. Call it in the fabric.
func (s *Stand) routesToLiving() ([]topologies.Route, error) {
	dead := make(map[netip.Addr]bool)
	for _, n := range s.LBNodes() {
		port, err := netlink.LinkByName(n.Port)
		if err != nil {
			return nil, err
		}
		if port.Attrs().Flags&net.FlagUp == 0 {
			for _, a := range addressesOf(n) {
				dead[a] = true
			}
		}
	}
	var all []topologies.Route
	for _, r := range s.vipRoutes() {
		via := slices.DeleteFunc(slices.Clone(r.Via), func(a netip.Addr) bool { return dead[a] })
		if len(via) == 0 {
			return nil, errors.New("the last LB node that lives must not die")
		}
		all = append(all, topologies.Route{Destination: r.Destination, Via: via})
	}
	return all, nil
}

package testbed

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
func (tb *Testbed) FailNode(ctx context.Context, node string, detection time.Duration) error {
	if err := tb.platform().checkFailure(); err != nil {
		return err
	}
	n, err := tb.lbNode(node)
	if err != nil {
		return fmt.Errorf("fail LB node: %w", err)
	}
	if err := tb.setPort(n, netlink.LinkSetDown); err != nil {
		return fmt.Errorf("fail %s: %w", node, err)
	}
	timer := time.NewTimer(detection)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return fmt.Errorf("fail %s: %w", node, ctx.Err())
	}
	if err := tb.routeToLiving(); err != nil {
		return errors.Join(fmt.Errorf("fail %s: %w", node, err), tb.setPort(n, netlink.LinkSetUp))
	}
	return nil
}

// ReviveNode brings a dead LB node back, as after a reboot: with an empty data path of the variant, without any flow.
func (tb *Testbed) ReviveNode(ctx context.Context, node string, v Variant) error {
	if err := tb.platform().checkFailure(); err != nil {
		return err
	}
	n, err := tb.lbNode(node)
	if err != nil {
		return fmt.Errorf("revive LB node: %w", err)
	}
	tables, err := tb.Tables(v)
	if err != nil {
		return fmt.Errorf("revive %s: %w", node, err)
	}
	if err := tb.platform().reinstall(ctx, n, v, tables); err != nil {
		return fmt.Errorf("revive %s: %w", node, err)
	}
	if err := errors.Join(tb.setPort(n, netlink.LinkSetUp), tb.routeToLiving()); err != nil {
		return fmt.Errorf("revive %s: %w", node, err)
	}
	return nil
}

func (tb *Testbed) lbNode(name string) (topologies.Node, error) {
	lbs := tb.LBNodes()
	i := slices.IndexFunc(lbs, func(n topologies.Node) bool { return n.Name == name })
	if i < 0 {
		return topologies.Node{}, fmt.Errorf("%q is no LB node of %s", name, tb.plan.Name)
	}
	return lbs[i], nil
}

// setPort opens or shuts the fabric's end of a node's wire.
func (tb *Testbed) setPort(n topologies.Node, set func(netlink.Link) error) error {
	return tb.network.Do(netns.Fabric, func() error {
		port, err := netlink.LinkByName(n.Port)
		if err != nil {
			return fmt.Errorf("find port of %s: %w", n.Name, err)
		}
		return set(port)
	})
}

// routeToLiving leads VIPs to all LB nodes whose ports are open.
func (tb *Testbed) routeToLiving() error {
	return tb.network.Do(netns.Fabric, func() error {
		routes, err := tb.routesToLiving()
		if err != nil {
			return err
		}
		return replaceRoutes(routes)
	})
}

// routesToLiving are the routes of VIPs to those LB nodes whose ports are open. Call it in the fabric.
func (tb *Testbed) routesToLiving() ([]topologies.Route, error) {
	dead := make(map[netip.Addr]bool)
	for _, n := range tb.LBNodes() {
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
	for _, r := range tb.vipRoutes() {
		via := slices.DeleteFunc(slices.Clone(r.Via), func(a netip.Addr) bool { return dead[a] })
		if len(via) == 0 {
			return nil, errors.New("the last LB node that lives must not die")
		}
		all = append(all, topologies.Route{Destination: r.Destination, Via: via})
	}
	return all, nil
}

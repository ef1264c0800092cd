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

// FailNode makes an LB node fail: nothing passes its port any more. The fabric goes on sending to it until the detection time is
// over, and then removes its routes, as a router does that has noticed.
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
	if err := tb.routeToHealthy(); err != nil {
		return errors.Join(fmt.Errorf("fail %s: %w", node, err), tb.setPort(n, netlink.LinkSetUp))
	}
	return nil
}

// RestartNode brings a failed LB node back as after a reboot: with the variant's data path, and without any flow.
func (tb *Testbed) RestartNode(ctx context.Context, node string, v Variant) error {
	if err := tb.platform().checkFailure(); err != nil {
		return err
	}
	n, err := tb.lbNode(node)
	if err != nil {
		return fmt.Errorf("restart LB node: %w", err)
	}
	tables, err := tb.Tables(v)
	if err != nil {
		return fmt.Errorf("revive %s: %w", node, err)
	}
	if err := tb.platform().reinstall(ctx, n, v, tables); err != nil {
		return fmt.Errorf("revive %s: %w", node, err)
	}
	if err := errors.Join(tb.setPort(n, netlink.LinkSetUp), tb.routeToHealthy()); err != nil {
		return fmt.Errorf("revive %s: %w", node, err)
	}
	return nil
}

// IsUp reports whether a node's port in the fabric is up: false for a node that has failed.
func (tb *Testbed) IsUp(node string) (up bool, err error) {
	n := tb.plan.Node(node)
	if n == nil {
		return false, fmt.Errorf("unknown node %q of %s", node, tb.plan.Name)
	}
	err = tb.network.Do(netns.Fabric, func() error {
		port, err := netlink.LinkByName(n.Port)
		if err != nil {
			return fmt.Errorf("find port of %s: %w", node, err)
		}
		up = port.Attrs().Flags&net.FlagUp != 0
		return nil
	})
	return up, err
}

func (tb *Testbed) lbNode(name string) (topologies.Node, error) {
	lbs := tb.LBNodes()
	i := slices.IndexFunc(lbs, func(n topologies.Node) bool { return n.Name == name })
	if i < 0 {
		return topologies.Node{}, fmt.Errorf("unknown LB node %q of %s", name, tb.plan.Name)
	}
	return lbs[i], nil
}

// setPort sets the fabric's end of a node's link up or down.
func (tb *Testbed) setPort(n topologies.Node, set func(netlink.Link) error) error {
	return tb.network.Do(netns.Fabric, func() error {
		port, err := netlink.LinkByName(n.Port)
		if err != nil {
			return fmt.Errorf("find port of %s: %w", n.Name, err)
		}
		return set(port)
	})
}

// routeToHealthy routes VIPs to all LB nodes whose ports are up.
func (tb *Testbed) routeToHealthy() error {
	return tb.network.Do(netns.Fabric, func() error {
		routes, err := tb.routesToHealthy()
		if err != nil {
			return err
		}
		return replaceRoutes(routes)
	})
}

// routesToHealthy returns the routes of VIPs to the LB nodes whose ports are up. Call it in the fabric.
func (tb *Testbed) routesToHealthy() ([]topologies.Route, error) {
	dead := make(map[netip.Addr]bool)
	for _, n := range tb.LBNodes() {
		port, err := netlink.LinkByName(n.Port)
		if err != nil {
			return nil, err
		}
		if port.Attrs().Flags&net.FlagUp == 0 {
			for _, a := range n.Addrs() {
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

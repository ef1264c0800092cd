package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/topologies"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// FailNode makes an LB node fail: nothing passes its port any more. The fabric goes on sending to it until the detection time is
// over, and then removes its routes, as a router does that has noticed.
func FailNode(ctx context.Context, tb *testbed.Testbed, node string, detection time.Duration) error {
	if err := testbed.CheckFailure(tb.Plan()); err != nil {
		return err
	}
	n, err := lbNode(tb, node)
	if err != nil {
		return fmt.Errorf("fail LB node: %w", err)
	}
	if err := setPort(tb, n, netlink.LinkSetDown); err != nil {
		return fmt.Errorf("fail %s: %w", node, err)
	}
	timer := time.NewTimer(detection)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return fmt.Errorf("fail %s: %w", node, ctx.Err())
	}
	if err := routeToHealthy(tb); err != nil {
		return errors.Join(fmt.Errorf("fail %s: %w", node, err), setPort(tb, n, netlink.LinkSetUp))
	}
	return nil
}

// RestartNode brings a failed LB node back as after a reboot: with the variant's data path, and without any flow.
func RestartNode(ctx context.Context, tb *testbed.Testbed, node string, v testbed.Variant) error {
	if err := testbed.CheckFailure(tb.Plan()); err != nil {
		return err
	}
	n, err := lbNode(tb, node)
	if err != nil {
		return fmt.Errorf("restart LB node: %w", err)
	}
	if err := tb.Reinstall(ctx, n, v); err != nil {
		return fmt.Errorf("revive %s: %w", node, err)
	}
	if err := errors.Join(setPort(tb, n, netlink.LinkSetUp), routeToHealthy(tb)); err != nil {
		return fmt.Errorf("revive %s: %w", node, err)
	}
	return nil
}

// IsUp reports whether a node's port in the fabric is up: false for a node that has failed.
func IsUp(tb *testbed.Testbed, node string) (up bool, err error) {
	n := tb.Plan().Node(node)
	if n == nil {
		return false, fmt.Errorf("unknown node %q of %s", node, tb.Plan().Name)
	}
	err = tb.Network().Do(netns.Fabric, func() error {
		port, err := netlink.LinkByName(n.Port)
		if err != nil {
			return fmt.Errorf("find port of %s: %w", node, err)
		}
		up = port.Attrs().Flags&net.FlagUp != 0
		return nil
	})
	return up, err
}

func lbNode(tb *testbed.Testbed, name string) (topologies.Node, error) {
	lbs := tb.LBNodes()
	i := slices.IndexFunc(lbs, func(n topologies.Node) bool { return n.Name == name })
	if i < 0 {
		return topologies.Node{}, fmt.Errorf("unknown LB node %q of %s", name, tb.Plan().Name)
	}
	return lbs[i], nil
}

// setPort sets the fabric's end of a node's link up or down.
func setPort(tb *testbed.Testbed, n topologies.Node, set func(netlink.Link) error) error {
	return tb.Network().Do(netns.Fabric, func() error {
		port, err := netlink.LinkByName(n.Port)
		if err != nil {
			return fmt.Errorf("find port of %s: %w", n.Name, err)
		}
		return set(port)
	})
}

// routeToHealthy routes VIPs to all LB nodes whose ports are up.
func routeToHealthy(tb *testbed.Testbed) error {
	return tb.Network().Do(netns.Fabric, func() error {
		routes, err := routesToHealthy(tb)
		if err != nil {
			return err
		}
		return replaceRoutes(routes)
	})
}

// routesToHealthy returns the routes of VIPs to the LB nodes whose ports are up. Call it in the fabric.
func routesToHealthy(tb *testbed.Testbed) ([]topologies.Route, error) {
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
	for _, r := range vipRoutes(tb) {
		via := slices.DeleteFunc(slices.Clone(r.Via), func(a netip.Addr) bool { return dead[a] })
		if len(via) == 0 {
			return nil, errors.New("the last LB node that lives must not die")
		}
		all = append(all, topologies.Route{Destination: r.Destination, Via: via})
	}
	return all, nil
}

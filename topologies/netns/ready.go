package netns

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/dsrlab/dsrlab/topologies/rtnl"
)

const (
	// readyTimeout is far more than a busy machine takes; what has not settled by then never will.
	readyTimeout = time.Minute
	// firstPause and longestPause are between two looks, doubled from the one to the other: the kernel needs about a
	// millisecond.
	firstPause, longestPause = 50 * time.Microsecond, 5 * time.Millisecond
)

// pending is what a network still waits for. The kernel does it later, on its own, in work queues: it notices carriers
// (net/core/link_watch.c), lets bridge ports forward, and routes packets to IPv6 addresses (net/ipv6/addrconf.c).
type pending struct {
	fabric *rtnl.Conn
	ports  []string       // bridge ports that don't carry packets
	links  []carrier      // other links without a carrier that the kernel has noticed: they drop all that is to be sent
	local  []localAddress // addresses that their namespace doesn't take as its own
}

// carrier is a link of a namespace.
type carrier struct {
	ns   string
	conn *rtnl.Conn
	name string
}

// localAddress is an IPv6 address of a namespace.
type localAddress struct {
	ns      string
	conn    *rtnl.Conn
	address netip.Addr
}

// waitReady waits until the first packet finds its way, whoever sends it.
func (b *builder) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("waited for %s", readyTimeout))
	defer cancel()
	return b.pending().wait(ctx)
}

// pending is all that a new network waits for. Of a wire it is the end that was raised first: the other one found the carrier
// there. IPv4 addresses are at once what they are, so without IPv6 no namespace is asked but those between others.
func (b *builder) pending() *pending {
	u := &pending{fabric: b.ns(Fabric).conn}
	add := func(ns string, addresses []netip.Addr) {
		for _, a := range addresses {
			if a.Is6() {
				u.local = append(u.local, localAddress{ns, b.ns(ns).conn, a})
			}
		}
	}
	used := map[string]bool{}
	for _, n := range b.plan.Nodes {
		used[n.Network] = true
		u.ports = append(u.ports, n.Port)
		for _, address := range n.Addresses {
			add(n.Name, []netip.Addr{address.Addr()})
		}
	}
	for _, n := range b.plan.Networks {
		if used[n.Name] { // a bridge without ports has no carrier
			u.links = append(u.links, carrier{Fabric, u.fabric, b.bridge(n.Name)})
			add(Fabric, n.Gateways)
		}
	}
	for _, p := range b.plan.Pods {
		if b.isExternal(p.Name) {
			continue
		}
		u.links = append(u.links, carrier{p.Node, b.ns(p.Node).conn, p.HostDevice})
		add(p.Name, p.Addresses)
	}
	return u
}

// wait returns when nothing is left to wait for.
func (u *pending) wait(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if err := u.update(); err != nil {
			return err
		}
		if u.done() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%v: %w", u, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

func (u *pending) done() bool { return len(u.ports)+len(u.links)+len(u.local) == 0 }

// update takes out what has settled. It asks only about what hasn't.
func (u *pending) update() (err error) {
	if len(u.ports) > 0 {
		ready, err := u.fabric.ReadyPorts()
		if err != nil {
			return err
		}
		u.ports = slices.DeleteFunc(u.ports, func(port string) bool { return ready[port] })
	}
	u.links = slices.DeleteFunc(u.links, func(l carrier) bool {
		device, linkErr := l.conn.LinkByName(l.name)
		if linkErr != nil {
			err = fmt.Errorf("device %s of %s: %w", l.name, l.ns, linkErr)
			return false
		}
		return device.Attrs().OperState == netlink.OperUp
	})
	u.local = slices.DeleteFunc(u.local, func(l localAddress) bool {
		is, localErr := l.conn.HasLocal(l.address)
		if localErr != nil {
			err = fmt.Errorf("%s: %w", l.ns, localErr)
		}
		return is
	})
	return err
}

// String lists what is missing, at most a few of each kind.
func (u *pending) String() string {
	var parts []string
	tell := func(what string, names []string) {
		const shown = 3
		if len(names) > shown {
			names = append(slices.Clone(names[:shown]), fmt.Sprintf("%d more", len(names)-shown))
		}
		if len(names) > 0 {
			parts = append(parts, what+" "+strings.Join(names, ", "))
		}
	}
	var links, addresses []string
	for _, l := range u.links {
		links = append(links, fmt.Sprintf("%s of %s", l.name, l.ns))
	}
	for _, l := range u.local {
		addresses = append(addresses, fmt.Sprintf("%v of %s", l.address, l.ns))
	}
	tell("no carrier on", links)
	tell("no packets through", u.ports)
	tell("no local route to", addresses)
	return strings.Join(parts, "; ")
}

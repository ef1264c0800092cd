package netns

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dsrlab/dsrlab/topologies"
)

// podGateway is where pods send everything; the node's end of the veth answers for it by a static neighbour.
func podGateway(pod netip.Addr) netip.Addr {
	if pod.Is4() {
		return netip.AddrFrom4([4]byte{169, 254, 1, 1})
	}
	return netip.MustParseAddr("fe80::1")
}

// single is an address as a prefix of its own.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func (l *Lab) makePods() error {
	var errs []error
	for i := range l.plan.Pods {
		p := &l.plan.Pods[i]
		if err := l.makePod(p); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
		}
	}
	return errors.Join(errs...)
}

// makePod joins a pod to its node: a wire, a route each way, and neighbours, so that nobody has to ask.
func (l *Lab) makePod(p *topologies.Pod) error {
	err := l.Do(p.Node, func() error {
		if err := l.makeVeth(l.attrs(p.HostDevice, "pod "+p.Name, p.HostMAC), p.Name, p.MAC); err != nil {
			return err
		}
		end, err := netlink.LinkByName(p.HostDevice)
		if err != nil {
			return err
		}
		return errors.Join(
			l.addRoute(end, topologies.Route{Destination: single(p.Address)}),
			addNeighbour(end, topologies.Neighbour{Address: p.Address, MAC: p.MAC}),
		)
	})
	if err != nil {
		return err
	}
	return l.Do(p.Name, func() error {
		device, err := l.configureDevice("pod " + p.Name)
		if err != nil {
			return err
		}
		gateway := podGateway(p.Address)
		everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if p.Address.Is6() {
			everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		return errors.Join(
			addAddress(device, single(p.Address), unix.IFA_F_NOPREFIXROUTE),
			addNeighbour(device, topologies.Neighbour{Address: gateway, MAC: p.HostMAC}),
			l.addRoute(device, topologies.Route{Destination: single(gateway)}),
			l.addRoute(device, topologies.Route{Destination: everything, Via: []netip.Addr{gateway}}),
		)
	})
}

// configureFabric gives the fabric its gateway addresses, its neighbours and its routes.
func (l *Lab) configureFabric() error {
	return l.Do(Fabric, func() error {
		for _, n := range l.plan.Networks {
			bridge, err := netlink.LinkByName(l.bridge(n.Name))
			if err != nil {
				return err
			}
			if l.shaped() {
				if err := netlink.LinkSetGSOMaxSegs(bridge, 1); err != nil {
					return err
				}
			}
			if err := addAddress(bridge, netip.PrefixFrom(n.Gateway, n.Subnet.Bits()), 0); err != nil {
				return err
			}
			for _, node := range l.plan.Nodes {
				if node.Network != n.Name {
					continue
				}
				if err := addNeighbour(bridge, topologies.Neighbour{Address: node.Address.Addr(), MAC: node.MAC}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (l *Lab) shapeWires() error {
	return l.Do(Fabric, func() error {
		for i := range l.plan.Nodes {
			n := &l.plan.Nodes[i]
			if n.ToNode.Rate == 0 && n.FromNode.Rate == 0 {
				continue
			}
			wire, err := l.wire(n)
			if err != nil {
				return err
			}
			if err := wire.Set(n.ToNode, n.FromNode); err != nil {
				return err
			}
		}
		return nil
	})
}

// raiseBridges comes last: a bridge that is up works on every port that is added. Routes need it up.
func (l *Lab) raiseBridges() error {
	return l.Do(Fabric, func() error {
		for _, n := range l.plan.Networks {
			bridge, err := netlink.LinkByName(l.bridge(n.Name))
			if err != nil {
				return err
			}
			if err := raise(bridge, l.alias("network "+n.Name)); err != nil {
				return err
			}
		}
		for _, r := range l.plan.FabricRoutes {
			if err := l.addRoute(nil, r); err != nil {
				return err
			}
		}
		return nil
	})
}

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

// hostPrefix is the prefix of a single address.
func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func (b *builder) makePods() error {
	mtus := make(map[string]int)
	for i := range b.plan.Nodes {
		n := &b.plan.Nodes[i]
		mtus[n.Name] = b.plan.MTUOf(n)
	}
	for i := range b.plan.Pods {
		p := &b.plan.Pods[i]
		if b.isExternal(p.Name) {
			continue
		}
		if err := b.makePod(p, mtus[p.Node]); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return nil
}

// makePod joins a pod to its node: a wire, a route each way, and neighbours, so that nobody has to ask.
func (b *builder) makePod(p *topologies.Pod, mtu int) error {
	node, pod, alias := b.ns(p.Node), b.ns(p.Name), b.alias("pod "+p.Name)
	end, err := b.makeVeth(node, attrs(p.HostDevice, p.HostMAC, mtu), alias, pod, p.MAC)
	if err != nil {
		return err
	}
	device, err := b.configureDevice(pod, alias)
	if err != nil {
		return err
	}
	cc := b.plan.CongestionControl
	for _, address := range p.Addresses {
		gateway := podGateway(address)
		everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if address.Is6() {
			everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		err := errors.Join(
			node.addRoute(end, topologies.Route{Destination: hostPrefix(address)}, cc),
			node.addNeighbour(end, topologies.Neighbour{Address: address, MAC: p.MAC}),
			pod.addAddress(device, hostPrefix(address), unix.IFA_F_NOPREFIXROUTE),
			pod.addNeighbour(device, topologies.Neighbour{Address: gateway, MAC: p.HostMAC}),
			pod.addRoute(device, topologies.Route{Destination: hostPrefix(gateway)}, cc),
			pod.addRoute(device, topologies.Route{Destination: everything, Via: []netip.Addr{gateway}}, cc),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// configureFabric gives the fabric its gateway addresses and its neighbours.
func (b *builder) configureFabric() error {
	fabric := b.ns(Fabric)
	for _, n := range b.plan.Networks {
		bridge, err := fabric.link(b.bridge(n.Name))
		if err != nil {
			return err
		}
		for k, gateway := range n.Gateways {
			if err := fabric.addAddress(bridge, netip.PrefixFrom(gateway, n.Subnets[k].Bits()), 0); err != nil {
				return err
			}
		}
		if err := b.addNodeNeighbours(bridge, n.Name); err != nil {
			return err
		}
	}
	return nil
}

// addNodeNeighbours adds the nodes of a network as the fabric's neighbours.
func (b *builder) addNodeNeighbours(bridge netlink.Link, network string) error {
	for i := range b.plan.Nodes {
		node := &b.plan.Nodes[i]
		if node.Network != network {
			continue
		}
		for _, address := range node.Addresses {
			if err := b.ns(Fabric).addNeighbour(bridge, topologies.Neighbour{Address: address.Addr(), MAC: node.MAC}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *builder) shapeWires() error {
	if err := b.setFrameByFrame(); err != nil {
		return err
	}
	for i := range b.plan.Nodes {
		n := &b.plan.Nodes[i]
		if n.ToNode.Rate == 0 && n.FromNode.Rate == 0 {
			continue
		}
		wire, err := b.wire(b.ns(Fabric).conn, n)
		if err != nil {
			return err
		}
		if err := wire.Set(n.ToNode, n.FromNode); err != nil {
			return err
		}
	}
	return nil
}

// raiseBridges comes last: a bridge that is up works on every port that is added. Routes need it up.
func (b *builder) raiseBridges() error {
	fabric := b.ns(Fabric)
	for _, n := range b.plan.Networks {
		bridge, err := fabric.link(b.bridge(n.Name))
		if err != nil {
			return err
		}
		if err := fabric.conn.Raise(bridge, b.alias("network "+n.Name)); err != nil {
			return err
		}
	}
	for _, r := range b.plan.FabricRoutes {
		if err := fabric.addRoute(nil, r, b.plan.CongestionControl); err != nil {
			return err
		}
	}
	return nil
}
